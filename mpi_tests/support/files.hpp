#pragma once
// Files and directories of tests. Local.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace muster::test {

// A directory of this process that is gone when the test ends.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The pattern for mkdtemp(3) of a new directory under $MUSTER_TEST_DIR, or the system's temporary directory.
std::string temporary_pattern();

std::vector<std::byte> read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, const std::vector<std::byte>& bytes);
void write_text(const std::filesystem::path& file, const std::string& text);
// Changes one byte in place by XOR with `mask`.
void flip(const std::filesystem::path& file, std::uint64_t offset, std::uint8_t mask = 0xFF);
// The names in a directory, sorted, hidden ones too, but for the notes that muster keeps beside checkpoints (progress,
// history, generations); empty where it does not exist.
std::vector<std::string> names_in(const std::filesystem::path& directory);

}  // namespace muster::test
