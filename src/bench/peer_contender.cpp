#include "bench/peer_contender.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/posix.hpp"
#include "bench/ranks.hpp"
#include "mpi/agree.hpp"

namespace muster::bench {

namespace {

constexpr double kAnswerTimeoutS = 1800;
constexpr std::string_view kAnswerMark = "bench-peer ";
constexpr const char* kScriptName = "bench-peers.py";

// Our environment less what our own launcher put there, which would make the peer's ranks believe to be ours, and with
// what its launcher needs for ranks that share cores.
std::vector<std::string> clean_environment() {
  constexpr std::array<std::string_view, 8> kLauncherPrefixes{"OMPI_", "PMIX_", "PMI_",  "PRTE_",
                                                              "ORTE_", "OPAL_", "HYDI_", "MPI_LOCAL"};
  std::vector<std::string> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const bool is_launchers = std::any_of(kLauncherPrefixes.begin(), kLauncherPrefixes.end(),
                                          [&](auto prefix) { return text.starts_with(prefix); });
    if (!is_launchers || text.starts_with("OMPI_ALLOW_RUN_AS_ROOT")) kept.emplace_back(text);
  }
  // As scripts/mpirun.sh does it for Open MPI 4 and 5; other launchers do not look at these.
  for (const char* variable :
       {"OMPI_MCA_mpi_yield_when_idle=1", "OMPI_MCA_btl_vader_single_copy_mechanism=none", "OMPI_MCA_smsc=^cma",
        "OMPI_MCA_hwloc_base_binding_policy=none", "PRTE_MCA_hwloc_default_binding_policy=none",
        "OMPI_MCA_rmaps_base_oversubscribe=1", "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe"}) {
    kept.emplace_back(variable);
  }
  return kept;
}

std::string find_script() {
  const auto program = std::filesystem::read_symlink("/proc/self/exe");
  auto installed = program.parent_path().parent_path() / "share" / "muster" / kScriptName;
  if (std::filesystem::exists(installed)) return installed;
  for (auto folder = program.parent_path(); folder != folder.root_path(); folder = folder.parent_path()) {
    if (std::filesystem::exists(folder / "scripts" / kScriptName)) return folder / "scripts" / kScriptName;
  }
  throw Error(ErrorKind::not_found, std::string(kScriptName) + " was not found");
}

}  // namespace

PeerContender::PeerContender(const mpi::CommView& comm, std::string name, const std::filesystem::path& workload_file,
                             std::filesystem::path directory, const std::string& held)
    : comm_(comm), name_(std::move(name)), directory_(std::move(directory)) {
  nlohmann::json answer;
  if (comm.rank() == 0) {
    try {
      std::filesystem::create_directories(directory_);
      child_ = std::make_unique<ChildProcess>(
          std::vector<std::string>{"mpirun", "-n", std::to_string(comm.size()), find_script(), name_,
                                   workload_file.string(), directory_.string(), held},
          clean_environment());
      answer = next_answer();
    } catch (const std::exception& error) {
      answer = {{"missing", error.what()}};
    }
  }
  // The peer takes a while to start and to fill its memory.
  quiet_barrier(comm);
  answer = broadcast_json(comm, answer);
  if (!answer.contains("missing")) return;
  absence_ = answer.at("missing").get<std::string>();
  child_.reset();
}

nlohmann::json PeerContender::next_answer() {
  for (;;) {
    const auto line = child_->read_line(kAnswerTimeoutS);
    if (!line.starts_with(kAnswerMark)) {
      fmt::print(stderr, "{}: {}\n", name_, line);
      continue;
    }
    auto answer = nlohmann::json::parse(line.substr(kAnswerMark.size()), nullptr, false);
    if (answer.is_discarded()) throw Error(ErrorKind::io, name_ + " answered in words that are not JSON: " + line);
    if (answer.contains("failed")) throw Error(ErrorKind::io, name_ + ": " + answer.at("failed").get<std::string>());
    return answer;
  }
}

nlohmann::json PeerContender::run_round(int round) {
  auto answer = nlohmann::json::object();
  std::exception_ptr failure;
  // Our ranks must not take cores away from the peer's.
  quiet_barrier(comm_);
  if (comm_.rank() == 0) {
    try {
      child_->write_line(fmt::format("go {}", round));
      answer = next_answer();
    } catch (...) {
      failure = std::current_exception();
    }
  }
  quiet_barrier(comm_);
  mpi::agree(comm_, name_, failure);
  return answer;
}

void PeerContender::clean_up() {
  mpi::run_on_root(comm_, "clean up", [&] {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) posix::remove(entry.path());
    posix::sync_directory(directory_);
  });
}

}  // namespace muster::bench
