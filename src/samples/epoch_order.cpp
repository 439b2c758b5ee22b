#include "samples/epoch_order.hpp"

#include <bit>

namespace muster::samples {
namespace {

// The output of SplitMix64 for the state z.
std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::uint64_t lowest_bits(int bits) { return (std::uint64_t{1} << bits) - 1; }  // bits <= 32

}  // namespace

EpochOrder::EpochOrder(std::uint64_t seed, std::uint64_t length, std::uint64_t epoch) : length_(length) {
  const int bits = static_cast<int>(std::bit_width(length - 1));
  lower_bits_ = bits - bits / 2;
  upper_mask_ = lowest_bits(bits / 2);
  lower_mask_ = lowest_bits(lower_bits_);
  const auto key = mix(mix(seed) ^ epoch);
  for (std::size_t round = 0; round < kRounds; ++round) round_keys_[round] = mix(key + round);
}

std::uint64_t EpochOrder::sample_at(std::uint64_t position) const {
  // The walk ends: the position lies on a cycle of the permutation, and is itself below the length.
  do position = permuted(position);
  while (position >= length_);
  return position;
}

std::uint64_t EpochOrder::permuted(std::uint64_t value) const {
  auto upper = value >> lower_bits_;
  auto lower = value & lower_mask_;
  for (std::size_t round = 0; round < kRounds; round += 2) {
    upper ^= mix(round_keys_[round] ^ lower) & upper_mask_;
    lower ^= mix(round_keys_[round + 1] ^ upper) & lower_mask_;
  }
  return upper << lower_bits_ | lower;
}

}  // namespace muster::samples
