#include "store/history.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <muster/error.hpp>
#include <span>
#include <sstream>
#include <string>

#include "base/bytes.hpp"
#include "base/posix.hpp"

namespace muster::store {

void append_history(const std::filesystem::path& directory, const nlohmann::json& entry) {
  const auto path = directory / kHistoryFile;
  auto line = entry.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  posix::File file(path, O_RDWR | O_CREAT | O_APPEND);
  // A line that a crash or a full disk cut short must not swallow this one.
  std::byte last{'\n'};
  if (const auto bytes = file.size(); bytes > 0) file.read_at(std::span(&last, 1), bytes - 1);
  if (last != std::byte{'\n'}) line.insert(line.begin(), '\n');
  const auto put = ::write(file.descriptor(), line.data(), line.size());
  if (put != static_cast<ssize_t>(line.size())) posix::fail("append to", path, put < 0 ? errno : EIO);
  file.close();
}

std::vector<nlohmann::json> read_history(const std::filesystem::path& directory) {
  const auto path = directory / kHistoryFile;
  std::vector<nlohmann::json> entries;
  if (!std::filesystem::exists(path)) return entries;
  const posix::File file(path, O_RDONLY);
  Bytes bytes(file.size());
  file.read_at(bytes, 0);
  std::istringstream lines(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  for (std::string line; std::getline(lines, line);) {
    auto entry = nlohmann::json::parse(line, nullptr, false);
    if (entry.is_object()) entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace muster::store
