#pragma once
// muster's save in the background: how long the call blocks, next to a memcpy of the same bytes, and how long until the
// tag is published.

#include <filesystem>
#include <muster/checkpoint.hpp>

#include "base/aligned_memory.hpp"
#include "bench/contender.hpp"
#include "bench/engine_variant.hpp"
#include "bench/held_tensors.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

class AsyncContender : public Contender {
 public:
  // Collective. `held` must outlive it.
  AsyncContender(const mpi::CommView& comm, const std::filesystem::path& directory, const HeldTensors& held,
                 const EngineVariant& variant);

  [[nodiscard]] std::string name() const override { return name_; }
  Sample run_round(int round) override;
  void clean_up() override;

 private:
  double copy_s();

  const mpi::CommView& comm_;
  std::string name_;
  SaveOptions options_;
  State state_;
  AlignedMemory copy_;  // as large as what this rank holds
  Checkpointer checkpointer_;
  std::filesystem::path file_;
};

}  // namespace muster::bench
