#include "support/sync_record.hpp"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>
#include <stdexcept>

#include "support/files.hpp"

namespace muster::test {

namespace {

std::mutex record_mutex;
SyncRecord* current = nullptr;

ino_t inode_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw std::runtime_error("cannot look at " + path.string());
  return status.st_ino;
}

}  // namespace

std::map<std::string, ino_t> inodes_in(const std::filesystem::path& directory) {
  std::map<std::string, ino_t> inodes;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    inodes[entry.path().filename().string()] = inode_of(entry.path());
  }
  return inodes;
}

SyncRecord::SyncRecord() {
  const std::lock_guard lock(record_mutex);
  if (current != nullptr) throw std::logic_error("two SyncRecords at a time");
  current = this;
}

SyncRecord::~SyncRecord() {
  const std::lock_guard lock(record_mutex);
  current = nullptr;
}

std::vector<std::byte> SyncRecord::bytes_of(const std::filesystem::path& file) const {
  const std::lock_guard lock(record_mutex);
  const auto found = files_.find(inode_of(file));
  return found == files_.end() ? std::vector<std::byte>() : found->second;
}

bool SyncRecord::has_synced(const std::filesystem::path& file) const { return bytes_of(file) == read_file(file); }

std::vector<SyncRecord::Listing> SyncRecord::listings(const std::filesystem::path& directory) const {
  const std::lock_guard lock(record_mutex);
  const auto found = directories_.find(inode_of(directory));
  return found == directories_.end() ? std::vector<Listing>() : found->second;
}

void SyncRecord::add(const std::filesystem::path& synced) {
  if (std::filesystem::is_directory(synced)) {
    directories_[inode_of(synced)].push_back(inodes_in(synced));
  } else {
    files_[inode_of(synced)] = read_file(synced);
  }
}

}  // namespace muster::test

// Takes the place of the C library's: what was synced is recorded after it succeeded.
extern "C" [[gnu::visibility("default")]] int fsync(int file) {
  const auto result = static_cast<int>(::syscall(SYS_fsync, file));
  const std::lock_guard lock(muster::test::record_mutex);
  if (result == 0 && muster::test::current != nullptr) {
    // The descriptor may be of a file that was opened for writing alone, or that has no name any more.
    muster::test::current->add("/proc/self/fd/" + std::to_string(file));
  }
  return result;
}
