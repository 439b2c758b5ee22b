#pragma once
// What the files of a directory are called.

#include <cstdint>
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
// <directory>/.<tag>.g<generation>.h5.part: what a save writes before it is published
std::filesystem::path part_file(const std::filesystem::path& directory, std::string_view tag, std::uint64_t generation);
// <directory>/.<name>.g<generation>.pointer.part: a pointer before it moves
std::filesystem::path pointer_part(const std::filesystem::path& directory, std::string_view name,
                                   std::uint64_t generation);
// <directory>/.<name>.g<generation>.retired.part: what takes the place of a file that is to be removed
std::filesystem::path retired_part(const std::filesystem::path& directory, std::string_view name,
                                   std::uint64_t generation);
// <directory>/.generation-<generation>: who holds, or held, the directory in this generation
std::filesystem::path generation_file(const std::filesystem::path& directory, std::uint64_t generation);
// <directory>/.generation-<token>.claim.part: that file before it has its name
std::filesystem::path claim_part(const std::filesystem::path& directory, std::string_view token);

// The tag of a published checkpoint's file name, if it is one.
std::optional<std::string> tag_of(const std::filesystem::path& file);
// The generation of a file that says who holds the directory, if it is one.
std::optional<std::uint64_t> generation_of(const std::filesystem::path& file);
// Of one that a save leaves when it is killed, the generation that left it (0: none is named); nothing of another one.
std::optional<std::uint64_t> leftover_generation(const std::filesystem::path& file);
inline bool is_leftover(const std::filesystem::path& file) { return leftover_generation(file).has_value(); }

}  // namespace muster::store
