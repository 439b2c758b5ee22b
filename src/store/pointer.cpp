#include "store/pointer.hpp"

#include <fcntl.h>

#include <fstream>
#include <muster/error.hpp>

#include "base/bytes.hpp"
#include "base/posix.hpp"
#include "store/names.hpp"

namespace muster::store {

std::optional<std::string> read_pointer(const std::filesystem::path& directory, const std::string& name) {
  std::ifstream file(directory / name);
  std::string tag;
  if (!std::getline(file, tag)) return std::nullopt;
  try {
    check_tag(tag);
  } catch (const Error&) {
    return std::nullopt;
  }
  return tag;
}

PendingPointer::PendingPointer(const std::filesystem::path& directory, const std::string& name, const std::string& tag,
                               std::uint64_t generation)
    : temporary_(pointer_part(directory, name, generation)), target_(directory / name) {
  try {
    posix::File file(temporary_, O_WRONLY | O_CREAT | O_TRUNC);
    file.write_at(as_bytes(tag + "\n"), 0);
    file.sync();
    file.close();
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary_, ignored);
    throw;
  }
}

PendingPointer::~PendingPointer() {
  if (moved_) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void PendingPointer::move() {
  posix::rename(temporary_, target_);
  moved_ = true;
}

}  // namespace muster::store
