#pragma once
// Removing a file of the directory in a way that ends with the generation: an unlink(2) goes by the name of the file
// alone, and one that was held back would still hit it when the directory belongs to somebody else.

#include <cstdint>
#include <filesystem>
#include <string>

namespace muster::store {

// Puts a dangling symbolic link, made beforehand under a name that carries the generation, in the file's place, and
// removes that. The next owner of the directory removes the link first: then the rename finds nothing to put there.
class PendingRemoval {
 public:
  // Makes the link. Where that is not possible (a full disk, a file system without links) remove() is a plain removal.
  PendingRemoval(const std::filesystem::path& directory, const std::string& file, std::uint64_t generation);
  // Removes the link where remove() was not reached.
  ~PendingRemoval();
  PendingRemoval(const PendingRemoval&) = delete;
  PendingRemoval& operator=(const PendingRemoval&) = delete;
  // Call Ownership::check() in between. Nothing happens where there is no such file. Throws Error{io}.
  void remove();

 private:
  std::filesystem::path link_;
  std::filesystem::path target_;
  bool linked_ = false;
};

// Whether the file is what a kill in the middle of remove() leaves: nobody takes it for a checkpoint or a pointer.
bool is_half_removed(const std::filesystem::path& file);

}  // namespace muster::store
