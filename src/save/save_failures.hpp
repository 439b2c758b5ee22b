#pragma once
// Failures of background saves, each to be told to the program once.

#include <cstdint>
#include <exception>
#include <map>
#include <set>

namespace muster::save {

// By the numbers of the saves. Not thread-safe.
class SaveFailures {
 public:
  void add(std::uint64_t number, std::exception_ptr failure) { failures_[number] = std::move(failure); }
  // That the program has been told of this one's failure.
  void note_seen(std::uint64_t number) { seen_.insert(number); }
  // The number of the first save whose failure the program has not been told of; the largest number where none.
  [[nodiscard]] std::uint64_t first_unseen() const;
  // Throws the failure of this save, which is seen with that; returns where none is known.
  void throw_failure(std::uint64_t number);
  // Tells on the log what the program has not been told.
  void log_unseen();

 private:
  std::map<std::uint64_t, std::exception_ptr> failures_;
  std::set<std::uint64_t> seen_;  // of them
};

}  // namespace muster::save
