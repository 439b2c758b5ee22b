#pragma once
// States, layouts and checkpoint files made without MPI, for tests of what plans and reads them.

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "model/layout.hpp"
#include "model/plan.hpp"

namespace muster::test {

using Random = std::mt19937_64;

// Uniform in [low, high].
std::uint64_t pick(Random& random, std::uint64_t low, std::uint64_t high);
DType random_dtype(Random& random);
// Any part of a tensor: all of it, a range of its elements or a block, which may be empty.
Shard random_part(Random& random, const Shape& shape);

// Every tensor held whole by all ranks; `ranges` are filled in.
GlobalState replicated(int world_size, std::vector<GlobalTensor> tensors, std::vector<DocumentSlot> documents = {});

// The layout of such a state, balanced over its ranks, all on one node.
Layout layout_of(const GlobalState& state, std::uint64_t alignment_bytes);

struct Sample {
  std::string tag = "step_1";
  std::uint64_t sequence = 1;
  std::uint64_t alignment_bytes = 512;
  int world_size = 3;
  // A handful of tensors of several dtypes, a 0-d and an empty one among them.
  std::vector<GlobalTensor> tensors = default_tensors();
  static std::vector<GlobalTensor> default_tensors();
};

// The value of every payload byte at this offset of a sample's file.
std::byte payload_byte(std::uint64_t offset);

// Writes <directory>/<tag>.h5 as a save would, with the documents /scheduler and /user_content; its layout.
Layout write_sample(const std::filesystem::path& directory, const Sample& sample);

}  // namespace muster::test
