#pragma once
// The text to learn, and sequences of it.

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "mpi/comm.hpp"

namespace muster::train {

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
  // The number of places where a sequence can start.
  [[nodiscard]] std::uint64_t start_count(std::int64_t context) const {
    return bytes_.size() - static_cast<std::uint64_t>(context);
  }
  // The sequences that start there.
  [[nodiscard]] Sequences sequences(const std::vector<std::uint64_t>& starts, std::int64_t context) const;

 private:
  std::vector<std::uint8_t> bytes_;
};

}  // namespace muster::train
