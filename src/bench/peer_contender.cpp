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

std::filesystem::path find_script() {
  const auto program = std::filesystem::read_symlink("/proc/self/exe");
  auto installed = program.parent_path().parent_path() / "share" / "muster" / kScriptName;
  if (std::filesystem::exists(installed)) return installed;
  for (auto folder = program.parent_path(); folder != folder.root_path(); folder = folder.parent_path()) {
    if (std::filesystem::exists(folder / "scripts" / kScriptName)) return folder / "scripts" / kScriptName;
  }
  throw Error(ErrorKind::not_found, std::string(kScriptName) + " was not found; name it with --peers-script");
}

// Asks interpreters, without importing anything, whether they have what the peer needs. The distribution's packages
// are for its own interpreter, which is not always the first on the PATH.
std::string find_python(const std::string& peer, const std::filesystem::path& script, const std::string& wanted) {
  std::vector<std::string> candidates{"python3", "/usr/bin/python3"};
  if (!wanted.empty()) candidates = {wanted};
  std::string why;
  for (const auto& python : candidates) {
    try {
      ChildProcess probe({python, script.string(), "--check", peer}, clean_environment());
      const auto answer = probe.read_line(kAnswerTimeoutS);
      if (answer == "ok") return python;
      why = answer;
    } catch (const Error& error) {
      if (why.empty()) why = error.what();
    }
  }
  throw Error(ErrorKind::not_found, why);
}

}  // namespace

const std::vector<std::string>& peer_names() {
  static const std::vector<std::string> names{"torch-save", "torch-save-tensors", "h5py", "h5py-independent"};
  return names;
}

PeerContender::PeerContender(const mpi::CommView& comm, std::string name, const std::filesystem::path& workload_file,
                             std::filesystem::path directory, const std::string& held, const PeerOptions& options)
    : comm_(comm), name_(std::move(name)), directory_(std::move(directory)) {
  nlohmann::json answer;
  if (comm.rank() == 0) {
    try {
      const auto script = options.script.empty() ? find_script() : options.script;
      const auto python = find_python(name_, script, options.python);
      std::filesystem::create_directories(directory_);
      child_ = std::make_unique<ChildProcess>(
          std::vector<std::string>{"mpirun", "-n", std::to_string(comm.size()), python, script.string(), name_,
                                   workload_file.string(), directory_.string(), "--held", held},
          clean_environment());
      answer = next_answer();
      if (answer.contains("missing")) child_.reset();
    } catch (const std::exception& error) {
      child_.reset();
      answer = {{"missing", error.what()}};
    }
  }
  // The peer takes a while to start and to fill its memory.
  quiet_barrier(comm);
  answer = broadcast_json(comm, answer);
  if (answer.contains("missing")) {
    absence_ = answer.at("missing").get<std::string>();
  } else {
    versions_ = answer.at("versions");
  }
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

Sample PeerContender::run_round(int round) {
  nlohmann::json answer;
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
  answer = broadcast_json(comm_, answer);
  return {.seconds = answer.at("seconds").get<double>(),
          .phase_s = answer.at("phase_s").get<std::map<std::string, double>>(),
          .peak_bytes = answer.at("peak_bytes").get<std::uint64_t>(),
          .details = {{"versions", versions_}}};
}

void PeerContender::clean_up() {
  mpi::run_on_root(comm_, "clean up", [&] {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) posix::remove(entry.path());
    posix::sync_directory(directory_);
  });
}

}  // namespace muster::bench
