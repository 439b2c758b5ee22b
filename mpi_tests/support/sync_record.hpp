#pragma once
// What fsync(2) has made durable. In an executable that uses this, fsync is the one of sync_record.cpp, for the
// libraries that it loads too.

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace muster::test {

// The names in a directory and their inodes.
std::map<std::string, ino_t> inodes_in(const std::filesystem::path& directory);

// Records while it lives; one at a time.
class SyncRecord {
 public:
  using Listing = std::map<std::string, ino_t>;

  SyncRecord();
  ~SyncRecord();
  SyncRecord(const SyncRecord&) = delete;
  SyncRecord& operator=(const SyncRecord&) = delete;

  // What this file held at the last fsync of it; empty where there was none.
  [[nodiscard]] std::vector<std::byte> bytes_of(const std::filesystem::path& file) const;
  // Whether that is what it holds now: nothing of it is lost in a power cut.
  [[nodiscard]] bool has_synced(const std::filesystem::path& file) const;
  // What a directory held at each fsync of it, in their order.
  [[nodiscard]] std::vector<Listing> listings(const std::filesystem::path& directory) const;

  // Called by fsync.
  void add(const std::filesystem::path& synced);

 private:
  std::map<ino_t, std::vector<std::byte>> files_;
  std::map<ino_t, std::vector<Listing>> directories_;
};

}  // namespace muster::test
