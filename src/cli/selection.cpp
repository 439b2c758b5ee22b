#include "cli/selection.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <muster/error.hpp>

#include "cli/command.hpp"
#include "store/names.hpp"
#include "store/pointer.hpp"
#include "store/resume.hpp"

namespace muster::cli {

std::filesystem::path selected_file(const std::filesystem::path& path, const std::optional<std::string>& tag) {
  if (!std::filesystem::exists(path)) throw Error(ErrorKind::io, "no such file or directory: " + path.string());
  if (!std::filesystem::is_directory(path)) {
    if (tag) throw UsageError("--tag needs a directory, and " + path.string() + " is a file");
    return path;
  }
  if (tag) {
    store::check_tag(*tag);
    const auto file = store::tag_file(path, *tag);
    if (!std::filesystem::exists(file)) {
      throw Error(ErrorKind::not_found, fmt::format("no checkpoint {} in {}: there is no {} (`muster ls` lists them)",
                                                    *tag, path.string(), file.string()));
    }
    return file;
  }
  store::Directory directory(path);
  const auto order = store::resume_order(directory);
  if (order.tags.empty()) {
    std::string message = "no sound checkpoint in " + path.string();
    for (const auto& warning : order.warnings) message += "; " + warning;
    throw Error(ErrorKind::not_found, message);
  }
  for (const auto& warning : order.warnings) fmt::print(stderr, "muster: {}\n", warning);
  const auto pointer = store::read_pointer(path, store::kLatestPointer);
  for (const auto& entry : directory.list()) {
    if (!entry.run && entry.tag == pointer) return entry.file;
  }
  return store::tag_file(path, order.tags.front());
}

void require_directory(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return;
  throw Error(ErrorKind::io,
              (std::filesystem::exists(path) ? "not a directory: " : "no such directory: ") + path.string());
}

std::vector<store::TagEntry> entries_of(const std::filesystem::path& directory) {
  require_directory(directory);
  return store::Directory(directory).list();
}

}  // namespace muster::cli
