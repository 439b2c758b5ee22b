#include "torch/rng.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/narrow.hpp"

namespace muster::torch_adapter {

namespace {

std::string generator_path() { return object_path({"rng", "cpu"}); }

torch::Tensor generator_state() {
  auto generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

}  // namespace

void describe_generator(State& state, int rank, int world_size) {
  const auto bytes = generator_state();
  const auto size = narrow<std::uint64_t>(bytes.numel());
  const auto row = narrow<std::uint64_t>(rank);
  TensorMemory memory;
  // The state is a copy, which lives as long as this function does.
  memory.read = [bytes](std::uint64_t first_byte, std::span<std::byte> to) {
    std::memcpy(to.data(), bytes.data_ptr<std::uint8_t>() + first_byte, to.size());
  };
  state.add(Tensor{.description = {generator_path(),
                                   DType::uint8,
                                   {narrow<std::uint64_t>(world_size), size},
                                   Shard::flat(row * size, size)},
                   .memory = std::move(memory)});
}

void prepare_generator(LoadBuilder& load, int rank) {
  const auto path = generator_path();
  if (!load.selects(path)) return;
  const auto* saved = load.saved(path);
  if (saved == nullptr) return load.missing(path + ": the checkpoint has no state of the random generators");
  const auto size = narrow<std::uint64_t>(generator_state().numel());
  if (saved->dtype != DType::uint8 || saved->shape.size() != 2 || saved->shape[1] != size) {
    return load.problem(fmt::format("{}: {} {} is not one row of {} bytes a rank, which this LibTorch needs", path,
                                    name(saved->dtype), to_string(saved->shape), size));
  }
  const auto row = narrow<std::uint64_t>(rank);
  if (row >= saved->shape[0]) return;
  const auto state = torch::empty({narrow<std::int64_t>(size)}, torch::kUInt8);
  load.state().add_mutable(path, DType::uint8, saved->shape, state.data_ptr(), Shard::flat(row * size, size));
  load.on_commit([state] {
    auto generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard lock(generator.mutex());
    generator.set_state(state);
  });
}

}  // namespace muster::torch_adapter
