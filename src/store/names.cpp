#include "store/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <nlohmann/json.hpp>

namespace muster::store {

namespace {

constexpr std::size_t kMaxTagBytes = 200;  // leaves room for the part file's affixes within 255
constexpr std::string_view kSuffix = ".h5";
constexpr std::string_view kPartSuffix = ".h5.part";
constexpr std::string_view kPointerTemporarySuffix = ".pointer.part";

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

std::string fault_of(std::string_view tag) {
  if (tag.empty()) return "is empty";
  if (tag.size() > kMaxTagBytes) return fmt::format("has {} bytes, more than {}", tag.size(), kMaxTagBytes);
  if (tag.front() == '.') return "starts with '.'";
  if (tag.find('/') != std::string_view::npos) return "has a '/' in it";
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(tag.begin(), tag.end(), is_control)) return "has a control character in it";
  if (!is_utf8(tag)) return "is not UTF-8";
  return {};
}

}  // namespace

void check_tag(std::string_view tag) {
  const auto fault = fault_of(tag);
  if (fault.empty()) return;
  std::string shown;
  for (const char c : tag.substr(0, 40)) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (tag.size() > 40) shown += "...";
  throw Error(ErrorKind::usage, fmt::format("tag '{}' {}: a tag is a file name", shown, fault));
}

std::filesystem::path tag_file(const std::filesystem::path& directory, std::string_view tag) {
  return directory / (std::string(tag) + std::string(kSuffix));
}

std::filesystem::path part_file(const std::filesystem::path& directory, std::string_view tag) {
  return directory / ("." + std::string(tag) + std::string(kPartSuffix));
}

std::optional<std::string> tag_of(const std::filesystem::path& file) {
  const auto name = file.filename().string();
  if (name.starts_with('.') || !name.ends_with(kSuffix) || name.size() == kSuffix.size()) return std::nullopt;
  return name.substr(0, name.size() - kSuffix.size());
}

bool is_leftover(const std::filesystem::path& file) {
  const auto name = file.filename().string();
  return name.starts_with('.') && (name.ends_with(kPartSuffix) || name.ends_with(kPointerTemporarySuffix));
}

}  // namespace muster::store
