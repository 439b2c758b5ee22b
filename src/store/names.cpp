#include "store/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <muster/error.hpp>
#include <nlohmann/json.hpp>

namespace muster::store {

namespace {

constexpr std::size_t kMaxTagBytes = 200;  // leaves room for the part file's affixes within 255
constexpr std::string_view kSuffix = ".h5";
constexpr std::string_view kPartSuffix = ".h5.part";
constexpr std::string_view kPointerSuffix = ".pointer.part";
constexpr std::string_view kRetiredSuffix = ".retired.part";
constexpr std::string_view kClaimSuffix = ".claim.part";
constexpr std::string_view kGenerationPrefix = ".generation-";

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  constexpr std::size_t kMostDigits = 18;
  if (text.empty() || text.size() > kMostDigits || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return number;
}

std::filesystem::path temporary(const std::filesystem::path& directory, std::string_view name, std::uint64_t generation,
                                std::string_view suffix) {
  return directory / fmt::format(".{}.g{}{}", name, generation, suffix);
}

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

std::filesystem::path part_file(const std::filesystem::path& directory, std::string_view tag,
                                std::uint64_t generation) {
  return temporary(directory, tag, generation, kPartSuffix);
}

std::filesystem::path pointer_part(const std::filesystem::path& directory, std::string_view name,
                                   std::uint64_t generation) {
  return temporary(directory, name, generation, kPointerSuffix);
}

std::filesystem::path retired_part(const std::filesystem::path& directory, std::string_view name,
                                   std::uint64_t generation) {
  return temporary(directory, name, generation, kRetiredSuffix);
}

std::filesystem::path generation_file(const std::filesystem::path& directory, std::uint64_t generation) {
  return directory / fmt::format("{}{}", kGenerationPrefix, generation);
}

std::filesystem::path claim_part(const std::filesystem::path& directory, std::string_view token) {
  return directory / fmt::format("{}{}{}", kGenerationPrefix, token, kClaimSuffix);
}

std::optional<std::string> tag_of(const std::filesystem::path& file) {
  const auto name = file.filename().string();
  if (name.starts_with('.') || !name.ends_with(kSuffix) || name.size() == kSuffix.size()) return std::nullopt;
  return name.substr(0, name.size() - kSuffix.size());
}

std::optional<std::uint64_t> generation_of(const std::filesystem::path& file) {
  const auto name = file.filename().string();
  if (!name.starts_with(kGenerationPrefix)) return std::nullopt;
  return number_of(std::string_view(name).substr(kGenerationPrefix.size()));
}

std::optional<std::uint64_t> leftover_generation(const std::filesystem::path& file) {
  const auto name = file.filename().string();
  if (!name.starts_with('.')) return std::nullopt;
  for (const auto suffix : {kPartSuffix, kPointerSuffix, kRetiredSuffix, kClaimSuffix}) {
    if (!name.ends_with(suffix)) continue;
    const auto stem = std::string_view(name).substr(0, name.size() - suffix.size());
    const auto mark = stem.rfind(".g");
    return mark == std::string_view::npos ? 0 : number_of(stem.substr(mark + 2)).value_or(0);
  }
  return std::nullopt;
}

}  // namespace muster::store
