#pragma once
// What a save of this process holds of its directory while it is on its way: the name of its part file, and a place in
// the order of checkpoints. Several Checkpointers may save to one directory, each on threads of its own.

#include <cstdint>
#include <filesystem>
#include <mutex>

namespace muster::store {

// From before the part is made until it is published or gone. Thread-safe.
class PartReservation {
 public:
  // at_least: the smallest sequence number that will do. Throws Error{busy} where another save holds this part.
  PartReservation(const std::filesystem::path& part, std::uint64_t at_least);
  ~PartReservation();
  PartReservation(const PartReservation&) = delete;
  PartReservation& operator=(const PartReservation&) = delete;

  // Larger than any that was given before for this directory.
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
  // Whether any save holds a part in this directory: it looks like a leftover, and is none.
  static bool any_in(const std::filesystem::path& directory);
  // To be held while something is published in this directory: one at a time, whatever other directories do.
  static std::mutex& publishing_in(const std::filesystem::path& directory);

 private:
  const std::filesystem::path part_;  // without symbolic links
  std::uint64_t sequence_ = 0;
};

}  // namespace muster::store
