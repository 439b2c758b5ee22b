#pragma once
// How many saves to have in flight for one to be always under way, and no more: each one that is not written before the
// update is copied.

#include <array>
#include <cstddef>
#include <optional>

namespace muster::train {

// Where in a step saves are begun, in this order.
enum class SavePoint : std::size_t { before_gradients, after_gradients, before_update };

class SaveSupply {
 public:
  // Of a save that has ended: how long it was written.
  void note_save(double write_s) { write_s_ = write_s; }
  // To be asked at each of the points, whether any are to be begun or not, at now_s of one clock. As many as last until
  // the next point, if this step goes like the last one; nothing where that is not known yet.
  std::optional<int> wanted(SavePoint here, double now_s);

 private:
  struct Visit {
    SavePoint point;
    double at_s;
  };
  static constexpr std::size_t kPoints = 3;
  std::array<std::optional<double>, kPoints> until_next_s_;
  std::optional<Visit> last_;
  std::optional<double> write_s_;
};

}  // namespace muster::train
