#include "store/directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <muster/error.hpp>
#include <ranges>

#include "base/narrow.hpp"
#include "base/posix.hpp"
#include "h5/catalog_reader.hpp"
#include "store/names.hpp"

namespace muster::store {

namespace {

bool can_be_opened(const std::filesystem::path& file) {
  try {
    const posix::File opened(file, O_RDONLY);
    return true;
  } catch (const Error&) {
    return false;
  }
}

TagEntry look_at(const std::string& tag, const std::filesystem::path& file, std::uint64_t bytes) {
  TagEntry entry{.tag = tag, .file = file, .file_bytes = bytes, .run = {}, .fault = {}, .is_readable = true};
  try {
    entry.run = h5::read_run(file);
    if (entry.run->tag != tag) {
      entry.fault = file.string() + ": was saved as " + entry.run->tag;
      entry.run.reset();
    }
  } catch (const Error& error) {
    entry.fault = error.what();
    entry.is_readable = can_be_opened(file);
  }
  return entry;
}

void sort_newest_first(std::vector<TagEntry>& entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const TagEntry& a, const TagEntry& b) {
    const auto rank = [](const TagEntry& entry) { return entry.run ? entry.run->sequence + 1 : 0; };
    return rank(a) > rank(b);
  });
}

}  // namespace

std::vector<std::filesystem::path> files_in(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    files.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) posix::fail("list", directory, error.value());
  return files;
}

std::optional<Directory::Stamp> Directory::stamp_of(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return Stamp{status.st_ino, narrow<std::uint64_t>(status.st_size),
               status.st_ctim.tv_sec * std::int64_t{1000000000} + status.st_ctim.tv_nsec};
}

void Directory::note(const RunInfo& run) {
  const auto file = tag_file(path_, run.tag);
  const std::lock_guard lock(mutex_);
  if (const auto stamp = stamp_of(file)) {
    known_[run.tag] = {
        *stamp,
        {.tag = run.tag, .file = file, .file_bytes = stamp->bytes, .run = run, .fault = {}, .is_readable = true}};
  }
}

std::vector<TagEntry> Directory::list() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Known> now;
  for (const auto& file : files_in(path_)) {
    const auto tag = tag_of(file);
    const auto stamp = tag ? stamp_of(file) : std::nullopt;
    if (!stamp) continue;
    const auto known = known_.find(*tag);
    if (known != known_.end() && known->second.stamp == *stamp) {
      now.insert(*known);
    } else {
      now[*tag] = {*stamp, look_at(*tag, file, stamp->bytes)};
    }
  }
  known_ = std::move(now);
  std::vector<TagEntry> entries;
  for (const auto& [tag, known] : known_) entries.push_back(known.entry);
  std::erase_if(known_, [](const auto& known) { return !known.second.entry.is_readable; });
  sort_newest_first(entries);
  return entries;
}

std::vector<TagEntry> Directory::known() {
  const std::lock_guard lock(mutex_);
  std::vector<TagEntry> entries;
  for (const auto& [tag, known] : known_) {
    if (stamp_of(known.entry.file) == known.stamp) entries.push_back(known.entry);
  }
  sort_newest_first(entries);
  return entries;
}

std::uint64_t Directory::next_sequence() {
  std::uint64_t largest = 0;
  for (const auto& entry : list()) {
    if (entry.run) largest = std::max(largest, entry.run->sequence);
  }
  return largest + 1;
}

void Directory::clear_leftovers(std::uint64_t generation) const {
  for (const auto& file : files_in(path_)) {
    const auto left = leftover_generation(file);
    if (left && *left <= generation) posix::remove(file);
  }
}

void Directory::create() const {
  std::vector<std::filesystem::path> missing;
  for (auto path = std::filesystem::absolute(path_).lexically_normal();; path = path.parent_path()) {
    if (path.filename().empty() && path.has_relative_path()) continue;  // a trailing '/'
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) break;
    missing.push_back(path);
    if (path == path.parent_path()) break;
  }
  for (const auto& path : std::views::reverse(missing)) {
    if (::mkdir(path.c_str(), 0777) != 0) {
      const int cause = errno;
      std::error_code error;
      if (!std::filesystem::is_directory(path, error)) posix::fail("create directory", path, cause);
    }
    posix::sync_directory(path.parent_path());
  }
}

}  // namespace muster::store
