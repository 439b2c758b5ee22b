#include "bench/held_tensors.hpp"

#include <algorithm>
#include <cstring>
#include <muster/error.hpp>
#include <muster/sharding.hpp>
#include <new>

namespace muster::bench {

namespace {

constexpr std::size_t kTorchAlignmentBytes = 64;
constexpr std::size_t kCheckedBytes = std::size_t{1} << 20;

std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 32;
  value *= 0x9FB21C651E98DF25U;
  value ^= value >> 29;
  return value;
}

// The bytes of one tensor. Any of them at once, so that checking needs no second copy.
class Content {
 public:
  explicit Content(std::size_t tensor) : state_(mix(mix(2) + tensor)) {}
  void fill(std::uint64_t first_byte, std::span<std::byte> to) const {
    for (std::size_t done = 0; done < to.size();) {
      const auto at = first_byte + done;
      const auto in_word = at % sizeof(std::uint64_t);
      const auto word = mix(state_ + (at / sizeof(std::uint64_t) + 1) * 0x9E3779B97F4A7C15U);
      const auto bytes = std::min(sizeof(word) - in_word, to.size() - done);
      std::memcpy(to.data() + done, reinterpret_cast<const std::byte*>(&word) + in_word, bytes);
      done += bytes;
    }
  }

 private:
  std::uint64_t state_;
};

}  // namespace

std::string name(Held held) {
  return std::ranges::find(kHeldNames, held, &std::pair<const char*, Held>::second)->first;
}

HeldTensors::HeldTensors(const Workload& workload, Held held, int rank, int ranks)
    : workload_(workload), held_(held), rank_(rank), ranks_(ranks), holders_(assign_holders(workload, ranks)) {
  memory_.reserve(workload.tensors.size());
  for (std::size_t i = 0; i < workload.tensors.size(); ++i) {
    const auto& tensor = workload.tensors[i];
    void* allocated = nullptr;
    const auto bytes = elements_held(shard(i), tensor.shape) * item_bytes(tensor.dtype);
    if (bytes > 0 && ::posix_memalign(&allocated, kTorchAlignmentBytes, bytes) != 0) throw std::bad_alloc();
    memory_.emplace_back(static_cast<std::byte*>(allocated));
    const auto memory = bytes_of(i);
    const Content content(i);
    map(i).visit_runs(0, tensor.bytes(),
                      [&](const ShardRun& run) { content.fill(run.in_file, memory.subspan(run.in_shard, run.bytes)); });
  }
}

Shard HeldTensors::shard(std::size_t tensor) const {
  const auto& shape = workload_.tensors[tensor].shape;
  const auto elements = element_count(shape);
  // Tensors without dims, as counters of steps are, cannot be cut.
  if (shape.empty() && held_ != Held::sharded) return Shard::whole();
  switch (held_) {
    case Held::sharded:
      return Shard::flat(0, holders_[tensor] == rank_ ? elements : 0);
    case Held::replicated:
      return Shard::whole();
    case Held::rows:
      return split(shape, 0, rank_, ranks_);
    case Held::columns:
      return split(shape, shape.size() - 1, rank_, ranks_);
  }
  throw Error(ErrorKind::internal, "unknown way to hold tensors");
}

// Where the bytes of the shard lie in the tensor.
ShardMap HeldTensors::map(std::size_t tensor) const {
  const auto& [path, dtype, shape] = workload_.tensors[tensor];
  return {StorageOrder(shape), shard(tensor), dtype};
}

State HeldTensors::state() const {
  State state;
  for (std::size_t i = 0; i < workload_.tensors.size(); ++i) {
    const auto& tensor = workload_.tensors[i];
    state.add_mutable(tensor.path, tensor.dtype, tensor.shape, memory_[i].get(), shard(i));
  }
  return state;
}

std::span<std::byte> HeldTensors::bytes_of(std::size_t tensor) const {
  const auto& [path, dtype, shape] = workload_.tensors[tensor];
  return {memory_[tensor].get(), elements_held(shard(tensor), shape) * item_bytes(dtype)};
}

std::uint64_t HeldTensors::bytes() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < memory_.size(); ++i) sum += bytes_of(i).size();
  return sum;
}

void HeldTensors::copy_to(std::byte* to) const {
  for (std::size_t i = 0; i < memory_.size(); ++i) to = std::ranges::copy(bytes_of(i), to).out;
}

void HeldTensors::spoil() {
  for (std::size_t i = 0; i < memory_.size(); ++i) std::ranges::fill(bytes_of(i), std::byte{0xA5});
}

void HeldTensors::verify() const {
  std::vector<std::byte> expected(kCheckedBytes);
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    const auto& tensor = workload_.tensors[i];
    const Content content(i);
    const auto held = bytes_of(i);
    map(i).visit_runs(0, tensor.bytes(), [&](const ShardRun& run) {
      for (std::uint64_t done = 0; done < run.bytes; done += kCheckedBytes) {
        const auto bytes = std::min<std::uint64_t>(kCheckedBytes, run.bytes - done);
        content.fill(run.in_file + done, std::span(expected).first(bytes));
        if (std::memcmp(held.data() + run.in_shard + done, expected.data(), bytes) != 0) {
          throw Error(ErrorKind::corrupt, tensor.path + ": what was loaded is not what was saved");
        }
      }
    });
  }
}

}  // namespace muster::bench
