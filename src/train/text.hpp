#pragma once
// The text to learn and the sequences that each step takes from it.

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "mpi/comm.hpp"

namespace muster::train {

// Sequences of the global batch that one rank computes: [first, first + count).
struct BatchPart {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// Cuts a batch over the ranks; parts differ by at most one sequence, and may be empty.
BatchPart part_of_batch(std::int64_t batch, int rank, int ranks);

struct Sequences {
  torch::Tensor inputs;   // [count, context], int64
  torch::Tensor targets;  // the same one byte later
};

class Text {
 public:
  explicit Text(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}
  // Collective: rank 0 reads the file and hands it to all. Throws the same AgreedError{usage} on all ranks where the
  // file cannot be read or has no room for a sequence and the byte after it.
  static Text read(const mpi::CommView& comm, const std::filesystem::path& file, std::int64_t context);

  [[nodiscard]] std::uint64_t size_bytes() const { return bytes_.size(); }
  // Where a sequence of a step starts: a pure function of its arguments and the size of the text.
  [[nodiscard]] std::uint64_t start_of(std::int64_t seed, std::int64_t step, std::int64_t sequence,
                                       std::int64_t context) const;
  [[nodiscard]] Sequences sequences(std::int64_t seed, std::int64_t step, BatchPart part, std::int64_t context) const;

 private:
  std::vector<std::uint8_t> bytes_;
};

}  // namespace muster::train
