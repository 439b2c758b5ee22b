#pragma once
// Hints for MPI. Move-only owner of an MPI_Info.

#include <mpi.h>

#include <map>
#include <string>
#include <vector>

namespace muster::mpi {

class Info {
 public:
  // Local. Throws Error{usage} for a key or value that MPI does not take.
  explicit Info(const std::map<std::string, std::string>& hints);
  ~Info();
  Info(const Info&) = delete;
  Info& operator=(const Info&) = delete;
  // MPI_INFO_NULL where there are no hints.
  [[nodiscard]] MPI_Info handle() const { return info_; }

 private:
  MPI_Info info_ = MPI_INFO_NULL;
};

// From "key=value" each. Throws Error{usage} for any other text, and as check_hints.
std::map<std::string, std::string> parse_hints(const std::vector<std::string>& assignments);

// Throws Error{usage} for a key or value that MPI does not take.
void check_hints(const std::map<std::string, std::string>& hints);

}  // namespace muster::mpi
