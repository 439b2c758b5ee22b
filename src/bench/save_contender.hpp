#pragma once
// muster's own save, at once or in the background; the Checkpointer lives through all rounds, so that its plan is
// reused.

#include <filesystem>
#include <muster/checkpoint.hpp>
#include <string>
#include <vector>

#include "base/aligned_memory.hpp"
#include "bench/contender.hpp"
#include "bench/held_tensors.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

// A way in which muster saves, by the name that --engine knows.
struct SaveVariant {
  const char* name = "";
  EngineChoice engine = EngineChoice::automatic;
  SaveOptions options = {};
  bool async = false;
};

const std::vector<SaveVariant>& save_variants();

class SaveContender : public Contender {
 public:
  // Collective. `held` must outlive it.
  SaveContender(const mpi::CommView& comm, const std::filesystem::path& directory, const HeldTensors& held,
                const SaveVariant& variant);

  [[nodiscard]] std::string name() const override { return variant_.name; }
  // A save in the background is timed until it is published. Of it also "blocked_s" (the call), "blocked_of_memcpy"
  // (relative to a memcpy of the same bytes by all ranks at once), "cpu_s" (of all threads) and "publish_s".
  nlohmann::json run_round(int round) override;
  void clean_up() override;

 private:
  double memcpy_s();

  const mpi::CommView& comm_;
  SaveVariant variant_;
  const HeldTensors& held_;
  State state_;
  AlignedMemory copy_;  // for memcpy
  Checkpointer checkpointer_;
  std::filesystem::path file_;
};

}  // namespace muster::bench
