#pragma once
// How many saves to begin for one to be always under way, and no more: what is not written before the update is copied.

#include <array>
#include <cstddef>
#include <optional>

namespace muster::train {

// Where in a step saves are begun, in this order.
enum class SavePoint : std::size_t { before_gradients, after_gradients, before_update };

// All times are seconds of one clock.
class SaveSupply {
 public:
  struct InFlight {
    int saves = 0;
    double first_begun_s = 0;
  };

  // Of each save that has ended, in the order in which they end.
  void note_save(double begun_s, double ended_s);
  // To be asked at each of the points, whether any are to be begun or not. How many besides those in flight last until
  // the next point, if this step goes like the last one and saves take as long each as the last one did; before the
  // gradients for the time of one more. Nothing where that is not known yet.
  std::optional<int> missing(SavePoint here, double now_s, const InFlight& in_flight);

 private:
  struct Visit {
    SavePoint point;
    double at_s;
  };
  static constexpr std::size_t kPoints = 3;
  std::array<std::optional<double>, kPoints> until_next_s_;
  std::optional<Visit> last_visit_;
  std::optional<double> each_s_;  // with nothing before it
  double last_ended_s_ = 0;
};

}  // namespace muster::train
