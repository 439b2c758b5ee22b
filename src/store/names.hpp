#pragma once
// What the files of a directory are called.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace muster::store {

inline constexpr const char* kLatestPointer = "latest";

// Throws Error{usage} that says what is wrong with the tag: empty, over 200 bytes, '/' or a control character in it,
// a '.' in front, or not UTF-8.
void check_tag(std::string_view tag);

// <directory>/<tag>.h5
std::filesystem::path tag_file(const std::filesystem::path& directory, std::string_view tag);
// <directory>/.<tag>.h5.part: what a save writes before it is published
std::filesystem::path part_file(const std::filesystem::path& directory, std::string_view tag);

// The tag of a published checkpoint's file name, if it is one.
std::optional<std::string> tag_of(const std::filesystem::path& file);
// Whether the file is one that a save leaves when it is killed.
bool is_leftover(const std::filesystem::path& file);

}  // namespace muster::store
