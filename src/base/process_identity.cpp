#include "base/process_identity.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <optional>
#include <sstream>

namespace muster {

namespace {

std::string first_line(const char* file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

struct ProcessStat {
  char state = '?';
  std::uint64_t start = 0;
};

// Nothing where there is no such process, or it is hidden from this one.
std::optional<ProcessStat> stat_of(int pid) {
  const auto text = first_line(("/proc/" + std::to_string(pid) + "/stat").c_str());
  // The name, in parentheses, may have anything in it.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  ProcessStat stat;
  fields >> stat.state;
  constexpr int kBetweenStateAndStart = 18;
  std::string skipped;
  for (int i = 0; i < kBetweenStateAndStart; ++i) fields >> skipped;
  fields >> stat.start;
  if (!fields) return std::nullopt;
  return stat;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

ProcessIdentity this_process() {
  const int pid = ::getpid();
  struct stat status {};
  const bool has_namespace = ::stat("/proc/self/ns/pid", &status) == 0;
  const auto stat = stat_of(pid);
  return {.host = host_name(),
          .machine = first_line("/etc/machine-id"),
          .boot = first_line("/proc/sys/kernel/random/boot_id"),
          .pid_namespace = has_namespace ? status.st_ino : 0,
          .pid = pid,
          .pid_start = stat ? stat->start : 0};
}

Liveness liveness(const ProcessIdentity& process) {
  const auto here = this_process();
  // Host names alone are not enough: many machines are called localhost.
  if (process.host != here.host || process.machine != here.machine) return Liveness::unknown;
  if (process.boot.empty() || here.boot.empty()) return Liveness::unknown;
  if (process.boot != here.boot) return Liveness::gone;
  if (process.pid_namespace != here.pid_namespace || process.pid <= 0) return Liveness::unknown;
  const auto stat = stat_of(process.pid);
  if (!stat) return ::kill(process.pid, 0) == 0 || errno == EPERM ? Liveness::alive : Liveness::gone;
  const bool has_ended = stat->state == 'Z' || stat->state == 'X';
  return has_ended || stat->start != process.pid_start ? Liveness::gone : Liveness::alive;
}

}  // namespace muster
