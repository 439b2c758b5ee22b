#pragma once
// The order of the samples of one epoch: a permutation of [0, length). sample_stream.hpp specifies it.

#include <array>
#include <cstdint>

namespace muster::samples {

class EpochOrder {
 public:
  EpochOrder(std::uint64_t seed, std::uint64_t length, std::uint64_t epoch);
  // position < length.
  [[nodiscard]] std::uint64_t sample_at(std::uint64_t position) const;

 private:
  [[nodiscard]] std::uint64_t permuted(std::uint64_t value) const;

  static constexpr std::size_t kRounds = 24;
  std::uint64_t length_;
  int lower_bits_;
  std::uint64_t upper_mask_;
  std::uint64_t lower_mask_;
  std::array<std::uint64_t, kRounds> round_keys_;
};

}  // namespace muster::samples
