#pragma once
// The tensors of a workload that this rank holds, in memory allocated as Torch does, and the State that names them.

#include <cstdint>
#include <muster/state.hpp>
#include <string_view>
#include <vector>

#include "bench/aligned_buffer.hpp"
#include "bench/workload.hpp"
#include "model/shard_map.hpp"

namespace muster::bench {

enum class Held : std::uint8_t {
  sharded,     // each tensor by exactly one rank
  replicated,  // all of them by every rank
  rows,        // each tensor cut along its first dim, as torch.chunk cuts
  columns,     // along its last dim
  flat,        // in equal ranges of its elements
};
// "sharded", ...; throws Error{usage} for any other name.
Held held(std::string_view name);
std::string_view name(Held held);

class HeldTensors {
 public:
  // Local. Allocates and fills with bytes that follow from the seed and the position in the workload alone. `workload`
  // must outlive it.
  HeldTensors(const Workload& workload, Held held, std::uint64_t seed, int rank, int ranks);

  // To save from; to load into.
  [[nodiscard]] State state() const;
  // Bytes on this rank.
  [[nodiscard]] std::uint64_t bytes() const;
  // Overwrites everything with other bytes.
  void spoil();
  // Throws Error{corrupt} that names the first tensor whose bytes are not those of the constructor.
  void verify() const;

 private:
  [[nodiscard]] Shard shard(std::size_t tensor) const;
  [[nodiscard]] ShardMap map(std::size_t tensor) const;

  const Workload& workload_;
  Held held_;
  std::uint64_t seed_;
  int rank_;
  int ranks_;
  std::vector<int> holders_;
  std::vector<AlignedBuffer> memory_;
};

}  // namespace muster::bench
