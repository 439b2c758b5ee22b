#pragma once
// Pointer files: a line of text in the directory that names a tag. Hints for people and tools; a resume checks them.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace muster::store {

// The tag that the pointer names; none where the file is missing, unreadable, empty or no tag at all.
std::optional<std::string> read_pointer(const std::filesystem::path& directory, const std::string& name);

// A new value for a pointer, durable but not yet in place, in a file that carries the generation: the next owner of the
// directory removes it. Throws Error{io}.
class PendingPointer {
 public:
  PendingPointer(const std::filesystem::path& directory, const std::string& name, const std::string& tag,
                 std::uint64_t generation);
  // Removes the temporary file where move() was not reached.
  ~PendingPointer();
  PendingPointer(const PendingPointer&) = delete;
  PendingPointer& operator=(const PendingPointer&) = delete;
  // Puts it in place, atomically. Call Ownership::check() in between. The caller makes the directory durable.
  void move();

 private:
  std::filesystem::path temporary_;
  std::filesystem::path target_;
  bool moved_ = false;
};

}  // namespace muster::store
