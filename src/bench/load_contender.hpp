#pragma once
// muster's own load of a cold checkpoint into memory that is there already.

#include <filesystem>
#include <muster/checkpoint.hpp>

#include "bench/contender.hpp"
#include "bench/held_tensors.hpp"
#include "bench/page_cache.hpp"
#include "mpi/comm.hpp"

namespace muster::bench {

class LoadContender : public Contender {
 public:
  // Collective. Loads the checkpoint `file` into `held`; both, and `cache`, must outlive it.
  LoadContender(std::string name, const mpi::CommView& comm, const PageCache& cache, const std::filesystem::path& file,
                HeldTensors& held);

  [[nodiscard]] std::string name() const override { return name_; }
  // The bytes loaded in round 0 are compared with those saved.
  Sample run_round(int round) override;
  void clean_up() override {}

 private:
  const std::string name_;
  const mpi::CommView& comm_;
  const PageCache& cache_;
  std::filesystem::path file_;
  HeldTensors& held_;
  Checkpointer checkpointer_;
};

}  // namespace muster::bench
