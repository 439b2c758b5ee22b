#include "support/files.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace muster::test {

std::string temporary_pattern() {
  const char* root = std::getenv("MUSTER_TEST_DIR");
  return (std::filesystem::path(root != nullptr ? root : std::filesystem::temp_directory_path()) / "muster-test-XXXXXX")
      .string();
}

TempDir::TempDir() {
  auto pattern = temporary_pattern();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::byte> read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot open " + file.string());
  std::vector<std::byte> bytes(std::filesystem::file_size(file));
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream) throw std::runtime_error("cannot read " + file.string());
  return bytes;
}

void write_file(const std::filesystem::path& file, const std::vector<std::byte>& bytes) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
}

void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  if (!(stream << text).flush()) throw std::runtime_error("cannot write " + file.string());
}

void flip(const std::filesystem::path& file, std::uint64_t offset, std::uint8_t mask) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  char byte = 0;
  stream.seekg(static_cast<std::streamoff>(offset));
  stream.get(byte);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.put(static_cast<char>(static_cast<std::uint8_t>(byte) ^ mask));
  if (!stream.flush()) throw std::runtime_error("cannot change " + file.string());
}

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    auto name = entry.path().filename().string();
    const bool is_generation = name.starts_with(".generation-");
    if (name != ".progress" && name != "history.jsonl" && !is_generation) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace muster::test
