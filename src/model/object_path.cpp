#include <fmt/format.h>

#include <muster/error.hpp>
#include <muster/state.hpp>

namespace muster {

namespace {

// HDF5 keeps a longer link outside the head, among the raw data.
constexpr std::size_t kMaxNameBytes = 4000;

std::string escape(std::string_view key) {
  if (key.empty()) throw Error(ErrorKind::usage, "a key is empty");
  if (key == ".") return "%2E";
  std::string text;
  for (const char c : key) {
    if (c == '/' || c == '%' || c == '\0') {
      text += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      text += c;
    }
  }
  if (text.size() > kMaxNameBytes) {
    throw Error(ErrorKind::usage, fmt::format("a key of {} bytes is longer than {}: {}...", text.size(), kMaxNameBytes,
                                              text.substr(0, 60)));
  }
  return text;
}

std::string unescape(std::string_view name) {
  const auto digit = [](char c) { return c >= 'A' ? c - 'A' + 10 : c - '0'; };
  std::string key;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '%' && i + 2 < name.size()) {
      key += static_cast<char>(digit(name[i + 1]) * 16 + digit(name[i + 2]));
      i += 2;
    } else {
      key += name[i];
    }
  }
  return key;
}

}  // namespace

std::string object_path(std::initializer_list<std::string_view> keys) {
  if (keys.size() == 0) throw Error(ErrorKind::usage, "a path needs at least one key");
  std::string path;
  for (const auto key : keys) path += "/" + escape(key);
  return path;
}

std::vector<std::string> object_keys(std::string_view path) {
  std::vector<std::string> keys;
  while (!path.empty()) {
    path.remove_prefix(1);  // '/'
    const auto end = path.find('/');
    keys.push_back(unescape(path.substr(0, end)));
    path = end == std::string_view::npos ? std::string_view() : path.substr(end);
  }
  return keys;
}

}  // namespace muster
