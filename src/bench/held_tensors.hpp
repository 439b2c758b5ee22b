#pragma once
// The tensors of a workload that this rank holds, in memory allocated as Torch does, and the State that names them.

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <muster/state.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/workload.hpp"
#include "model/shard_map.hpp"

namespace muster::bench {

enum class Held : std::uint8_t {
  sharded,     // each tensor by exactly one rank
  replicated,  // all of them by every rank
  rows,        // each tensor cut along its first dim, as torch.chunk cuts
  columns,     // along its last dim
};
inline constexpr std::initializer_list<std::pair<const char*, Held>> kHeldNames{
    {"sharded", Held::sharded}, {"replicated", Held::replicated}, {"rows", Held::rows}, {"columns", Held::columns}};
std::string name(Held held);

class HeldTensors {
 public:
  // Local. Allocates and fills with bytes that follow from the position in the workload alone. `workload` must outlive
  // it.
  HeldTensors(const Workload& workload, Held held, int rank, int ranks);

  // To save from; to load into.
  [[nodiscard]] State state() const;
  // Bytes on this rank.
  [[nodiscard]] std::uint64_t bytes() const;
  // Copies all of them, one behind the other.
  void copy_to(std::byte* to) const;
  // Overwrites everything with other bytes.
  void spoil();
  // Throws Error{corrupt} that names the first tensor whose bytes are not those of the constructor.
  void verify() const;

 private:
  [[nodiscard]] Shard shard(std::size_t tensor) const;
  [[nodiscard]] ShardMap map(std::size_t tensor) const;

  const Workload& workload_;
  Held held_;
  int rank_;
  int ranks_;
  std::vector<int> holders_;
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  [[nodiscard]] std::span<std::byte> bytes_of(std::size_t tensor) const;
  std::vector<std::unique_ptr<std::byte, Free>> memory_;
};

}  // namespace muster::bench
