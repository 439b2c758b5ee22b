#include "bench/held_tensors.hpp"

#include <algorithm>
#include <cstring>
#include <muster/error.hpp>

namespace muster::bench {

namespace {

constexpr std::size_t kTorchAlignmentBytes = 64;
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 32;
  value *= 0x9FB21C651E98DF25U;
  value ^= value >> 29;
  return value;
}

// The bytes of one tensor, from its first on. A block at a time, so that checking needs no second copy.
class Content {
 public:
  Content(std::uint64_t seed, std::size_t tensor) : state_(mix(mix(seed + 1) + tensor)) {}
  void fill(std::span<std::byte> to) {
    for (std::size_t at = 0; at < to.size(); at += sizeof(std::uint64_t)) {
      state_ += 0x9E3779B97F4A7C15U;
      const auto word = mix(state_);
      std::memcpy(to.data() + at, &word, std::min(sizeof(word), to.size() - at));
    }
  }

 private:
  std::uint64_t state_;
};

}  // namespace

HeldTensors::HeldTensors(const Workload& workload, Held held, std::uint64_t seed, int rank, int ranks)
    : workload_(workload), held_(held), seed_(seed), rank_(rank), holders_(assign_holders(workload, ranks)) {
  memory_.reserve(workload.tensors.size());
  for (std::size_t i = 0; i < workload.tensors.size(); ++i) {
    memory_.emplace_back(holds(i) ? workload.tensors[i].bytes() : 0, kTorchAlignmentBytes);
    Content(seed_, i).fill(memory_.back().span());
  }
}

bool HeldTensors::holds(std::size_t tensor) const { return held_ == Held::replicated || holders_[tensor] == rank_; }

State HeldTensors::state() const {
  State state;
  for (std::size_t i = 0; i < workload_.tensors.size(); ++i) {
    const auto& tensor = workload_.tensors[i];
    const auto shard =
        held_ == Held::replicated ? Shard::whole() : Shard::flat(0, holds(i) ? element_count(tensor.shape) : 0);
    state.add_mutable(tensor.path, tensor.dtype, tensor.shape, memory_[i].data(), shard);
  }
  return state;
}

std::uint64_t HeldTensors::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& buffer : memory_) sum += buffer.span().size();
  return sum;
}

void HeldTensors::spoil() {
  for (const auto& buffer : memory_) {
    if (!buffer.span().empty()) std::memset(buffer.data(), 0xA5, buffer.span().size());
  }
}

void HeldTensors::verify() const {
  std::vector<std::byte> expected(kBlockBytes);
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    Content content(seed_, i);
    const auto held = memory_[i].span();
    for (std::size_t at = 0; at < held.size(); at += kBlockBytes) {
      const auto bytes = std::min(kBlockBytes, held.size() - at);
      content.fill(std::span(expected).first(bytes));
      if (std::memcmp(held.data() + at, expected.data(), bytes) != 0) {
        throw Error(ErrorKind::corrupt, workload_.tensors[i].path + ": what was loaded is not what was saved");
      }
    }
  }
}

}  // namespace muster::bench
