#pragma once
// muster's own save, with one set of options; the Checkpointer lives through all rounds, so that its plan is reused.

#include <filesystem>
#include <muster/checkpoint.hpp>

#include "bench/contender.hpp"
#include "bench/engine_variant.hpp"
#include "bench/held_tensors.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

class EngineContender : public Contender {
 public:
  // Collective. `held` must outlive it. The tags are its own, whatever the options name.
  EngineContender(const mpi::CommView& comm, const std::filesystem::path& directory, const HeldTensors& held,
                  const EngineVariant& variant);

  [[nodiscard]] std::string name() const override { return name_; }
  Sample run_round(int round) override;
  void clean_up() override;

  // Where the last round's checkpoint is.
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

 private:
  const mpi::CommView& comm_;
  std::string name_;
  SaveOptions options_;
  State state_;
  Checkpointer checkpointer_;
  std::filesystem::path file_;
};

}  // namespace muster::bench
