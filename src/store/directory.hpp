#pragma once
// The directory of tags as it stands on disk. Local; one rank looks and tells the others.

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "model/catalog.hpp"

namespace muster::store {

struct TagEntry {
  std::string tag;
  std::filesystem::path file;
  std::uint64_t file_bytes = 0;
  std::optional<RunInfo> run;  // where head and tables are sound
  std::string fault;           // where they are not: why
  bool is_readable = true;     // false: nobody has looked into it, so that nothing is known of it
};

// Everything in a directory; nothing where it does not exist. Throws Error{io}.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& directory);

class Directory {
 public:
  explicit Directory(std::filesystem::path path) : path_(std::move(path)) {}
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // All published tags: the sound ones newest first (by sequence number, never by time), then the others by name.
  // Files that did not change since the last call are not read again. A directory that does not exist has no tags.
  // Throws Error{io} where it cannot be read.
  std::vector<TagEntry> list();

  // Takes over what this process knows of a tag that it has just published, so that list() need not read it again.
  // Thread-safe against list(); does nothing where the file is gone.
  void note(const RunInfo& run);

  // What is known already of the tags that are there still, as list() gives it, without reading any of them: no HDF5.
  // Thread-safe against list() and note().
  [[nodiscard]] std::vector<TagEntry> known();

  // One more than the largest sequence number in the directory.
  std::uint64_t next_sequence();

  // Removes what killed saves of this generation and those before it left (part files, temporary pointers). Only for
  // the job that holds the directory in this generation; see ownership.hpp.
  void clear_leftovers(std::uint64_t generation) const;

  // Creates it, with its parents, durably. Nothing happens where it is there.
  void create() const;

 private:
  struct Stamp {
    ino_t inode = 0;
    std::uint64_t bytes = 0;
    std::int64_t changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  struct Known {
    Stamp stamp;
    TagEntry entry;
  };
  static std::optional<Stamp> stamp_of(const std::filesystem::path& file);

  std::filesystem::path path_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;
};

}  // namespace muster::store
