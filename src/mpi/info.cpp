#include "mpi/info.hpp"

#include <muster/error.hpp>

#include "mpi/check.hpp"

namespace muster::mpi {

void check_hints(const std::map<std::string, std::string>& hints) {
  for (const auto& [key, value] : hints) {
    if (key.empty() || key.size() >= MPI_MAX_INFO_KEY || value.empty() || value.size() >= MPI_MAX_INFO_VAL) {
      throw Error(ErrorKind::usage, "hint '" + key + "=" + value + "': key or value is empty or too long for MPI");
    }
  }
}

std::map<std::string, std::string> parse_hints(const std::vector<std::string>& assignments) {
  std::map<std::string, std::string> hints;
  for (const auto& assignment : assignments) {
    const auto equals = assignment.find('=');
    if (equals == std::string::npos) {
      throw Error(ErrorKind::usage, "hint '" + assignment + "' must look like key=value");
    }
    hints[assignment.substr(0, equals)] = assignment.substr(equals + 1);
  }
  check_hints(hints);
  return hints;
}

Info::Info(const std::map<std::string, std::string>& hints) {
  if (hints.empty()) return;
  check_hints(hints);
  check(MPI_Info_create(&info_), "MPI_Info_create");
  for (const auto& [key, value] : hints) check(MPI_Info_set(info_, key.c_str(), value.c_str()), "MPI_Info_set");
}

Info::~Info() {
  if (info_ != MPI_INFO_NULL) MPI_Info_free(&info_);
}

}  // namespace muster::mpi
