#include "store/removal.hpp"

#include <unistd.h>

#include <muster/error.hpp>

#include "base/failpoint.hpp"
#include "base/posix.hpp"
#include "store/names.hpp"

namespace muster::store {

namespace {

constexpr const char* kNowhere = ".retired-by-muster";

}  // namespace

PendingRemoval::PendingRemoval(const std::filesystem::path& directory, const std::string& file,
                               std::uint64_t generation)
    : link_(retired_part(directory, file, generation)), target_(directory / file) {
  // One that is there already is of a save of ours that was given up, and does as well.
  linked_ = ::symlink(kNowhere, link_.c_str()) == 0 || is_half_removed(link_);
}

PendingRemoval::~PendingRemoval() {
  if (!linked_) return;
  std::error_code ignored;
  std::filesystem::remove(link_, ignored);
}

void PendingRemoval::remove() {
  if (linked_) {
    try {
      posix::rename(link_, target_);
    } catch (const Error&) {
      // Another save of this generation retires the same tag, and was first.
      std::error_code error;
      const auto found = std::filesystem::symlink_status(target_, error).type();
      if (found == std::filesystem::file_type::not_found || is_half_removed(target_)) return;
      throw;
    }
    linked_ = false;
    failpoint::pass("removal.in_place");
  }
  posix::remove(target_);
}

bool is_half_removed(const std::filesystem::path& file) {
  std::error_code error;
  return std::filesystem::read_symlink(file, error) == kNowhere && !error;
}

}  // namespace muster::store
