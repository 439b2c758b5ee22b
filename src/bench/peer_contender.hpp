#pragma once
// Another way to save, run by scripts/bench-peers.py in an MPI job of its own that lives through all rounds.
// A job of its own because one inside ours (MPI_Comm_spawn) would share our progress, settings and fate.

#include <array>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/child_process.hpp"
#include "bench/contender.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

// Names of the peers that bench-peers.py knows.
inline constexpr std::array kPeerNames{"torch-save", "torch-save-tensors", "h5py"};

class PeerContender : public Contender {
 public:
  // Collective. Starts the peer's ranks, as many as ours, with the tensors of `workload_file` in memory; they write
  // into `directory`. `held` is "sharded" or "replicated". If the peer cannot run here, `absence` says why.
  PeerContender(const mpi::CommView& comm, std::string name, const std::filesystem::path& workload_file,
                std::filesystem::path directory, const std::string& held);

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] const std::optional<std::string>& absence() const { return absence_; }
  nlohmann::json run_round(int round) override;
  void clean_up() override;

 private:
  // On rank 0: the words of the next answer.
  nlohmann::json next_answer();

  const mpi::CommView& comm_;
  std::string name_;
  std::filesystem::path directory_;
  std::optional<std::string> absence_;
  std::unique_ptr<ChildProcess> child_;  // on rank 0
};

}  // namespace muster::bench
