#include "support/collective.hpp"

#include <set>

#include "base/hash.hpp"
#include "support/files.hpp"

namespace muster::test {

bool same_everywhere(const std::string& text, MPI_Comm comm) {
  const auto hash = hash_bytes(std::as_bytes(std::span(text.data(), text.size())));
  std::uint64_t smallest = 0;
  std::uint64_t largest = 0;
  MPI_Allreduce(&hash, &smallest, 1, MPI_UINT64_T, MPI_MIN, comm);
  MPI_Allreduce(&hash, &largest, 1, MPI_UINT64_T, MPI_MAX, comm);
  return smallest == largest;
}

std::map<std::string, std::uint64_t> snapshot(const std::filesystem::path& directory, MPI_Comm comm) {
  MPI_Barrier(comm);
  std::map<std::string, std::uint64_t> files;
  for (const auto& name : names_in(directory)) {
    const auto file = directory / name;
    files[name] = std::filesystem::is_regular_file(file) ? hash_bytes(read_file(file)) : 0;
  }
  MPI_Barrier(comm);
  return files;
}

}  // namespace muster::test
