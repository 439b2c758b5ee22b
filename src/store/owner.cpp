#include "store/owner.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/hash.hpp"

namespace muster::store {

namespace {

std::string from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

std::uint64_t number_of(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Of MPICH's launcher nothing in the environment of a rank tells one launch from another; all its daemons are told
// where it listens, and they are ancestors of the ranks.
std::string hydra_launch() {
  constexpr int kMostAncestors = 16;
  auto pid = static_cast<int>(::getppid());
  for (int i = 0; i < kMostAncestors && pid > 1; ++i) {
    std::ifstream command_line(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
    auto launch = hydra_launch_of(std::string(std::istreambuf_iterator<char>(command_line), {}));
    if (!launch.empty()) return launch;
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    pid = 0;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("PPid:")) pid = std::atoi(line.c_str() + std::string_view("PPid:").size());
    }
  }
  return {};
}

// The same on all ranks of a launch. Open MPI 4 names launches by numbers that come again after some ten thousand;
// where its launcher listens does not. Open MPI 5 names them by host and process of the launcher.
std::string launch_name() {
  const auto launch = from_environment("PMIX_NAMESPACE");
  if (!launch.empty()) return launch + from_environment("OMPI_MCA_orte_hnp_uri");
  const auto step = from_environment("SLURM_STEP_ID");
  if (!step.empty()) return step;
  return from_environment("PMI_RANK").empty() ? std::string() : hydra_launch();
}

std::uint64_t random_number() {
  std::random_device random;
  return (std::uint64_t{random()} << 32) | random();
}

}  // namespace

std::string hydra_launch_of(std::string_view command_line) {
  constexpr std::string_view kOption("--control-port\0", 15);
  const auto program = command_line.substr(0, command_line.find('\0'));
  if (program.substr(program.rfind('/') + 1) != "hydra_pmi_proxy") return {};
  const auto option = command_line.find(kOption);
  if (option == std::string_view::npos) return {};
  const auto port = command_line.substr(option + kOption.size());
  return "hydra " + std::string(port.substr(0, port.find('\0')));
}

Owner this_owner() {
  static const std::uint64_t of_this_process = random_number();
  Owner owner{.process = this_process(),
              .cluster = from_environment("SLURM_CLUSTER_NAME"),
              .job = from_environment("SLURM_JOB_ID"),
              .restart = number_of(from_environment("SLURM_RESTART_COUNT")),
              .launch = launch_name(),
              .token = {},
              .since = utc_now_ms(),
              .released = false};
  const auto run = fmt::format("{} {} {} {}", owner.cluster, owner.job, owner.restart, owner.launch);
  owner.token = fmt::format("{:016x}{:016x}", of_this_process, hash_bytes(as_bytes(run)));
  return owner;
}

nlohmann::json to_json(const Owner& owner) {
  return {{"host", owner.process.host}, {"machine", owner.process.machine},
          {"boot", owner.process.boot}, {"pid_namespace", owner.process.pid_namespace},
          {"pid", owner.process.pid},   {"pid_start", owner.process.pid_start},
          {"cluster", owner.cluster},   {"job", owner.job},
          {"restart", owner.restart},   {"launch", owner.launch},
          {"token", owner.token},       {"since", owner.since},
          {"released", owner.released}};
}

std::optional<Owner> owner_from(const nlohmann::json& json) {
  try {
    return Owner{.process = {.host = json.at("host"),
                             .machine = json.at("machine"),
                             .boot = json.at("boot"),
                             .pid_namespace = json.at("pid_namespace"),
                             .pid = json.at("pid"),
                             .pid_start = json.at("pid_start")},
                 .cluster = json.at("cluster"),
                 .job = json.at("job"),
                 .restart = json.at("restart"),
                 .launch = json.at("launch"),
                 .token = json.at("token"),
                 .since = json.at("since"),
                 .released = json.at("released")};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::string text_of(const Owner& owner) {
  const auto where = fmt::format("on {} (pid {}) since {}", owner.process.host, owner.process.pid, owner.since);
  if (owner.job.empty()) return "a process " + where;
  return fmt::format("job {} (restart {}) {}", owner.job, owner.restart, where);
}

}  // namespace muster::store
