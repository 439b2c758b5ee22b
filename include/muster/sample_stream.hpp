#pragma once
// The order in which a training job takes the samples of its dataset. The order continues after a resume with exactly
// the next sample, on any number of ranks.
//
//     muster::SampleStream stream({.length = dataset_size, .seed = 7});
//     if (user_content) stream.load_state(user_content->at("samples"));
//     for (...) {
//       train(stream.samples_of_rank(batch, rank, ranks));  // indices into the dataset
//       stream.advance(batch);
//       save(..., {{"samples", stream.state()}});
//     }
//
// Which samples come next is a pure function of the version of the algorithm, the seed, the length of the dataset, the
// epoch and the position in the epoch. The number of ranks is not part of it: the position counts the samples of all
// ranks together. Each epoch takes each sample exactly once, in another order. A stream uses integer arithmetic only
// and a fixed amount of memory, so the order is the same with every compiler and library.
//
// The order of version 1, where ^ is the exclusive or, and sums are modulo 2^64:
// * mix(z) is the output of SplitMix64 for the state z (Steele, Lea, Flood: Fast splittable pseudorandom number
//   generators, 2014): z += 0x9e3779b97f4a7c15; z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
//   z = (z ^ z >> 27) * 0x94d049bb133111eb; the result is z ^ z >> 31.
// * The key of an epoch is mix(mix(seed) ^ epoch). Its round keys are k[i] = mix(key + i), i = 0..23.
// * b is the number of bits of length - 1. A number of b bits is split into the upper floor(b / 2) bits, u, and the
//   others, v. Round i of a Feistel network replaces u by the lowest bits of u ^ mix(k[i] ^ v) if i is even, and v by
//   the lowest bits of v ^ mix(k[i] ^ u) if i is odd. The 24 rounds are a permutation of [0, 2^b).
// * The sample at a position is the first result below the length if the network is applied to the position again and
//   again (cycle walking: Black, Rogaway: Ciphers with arbitrary finite domains, 2002). That takes less than two
//   applications on average.
// The order is for training. It is not a cipher.
//
// All functions are local and involve no other rank. Thread safety: several threads may call const functions of the
// same stream at the same time.

#include <cstdint>
#include <muster/export.hpp>
#include <nlohmann/json.hpp>
#include <vector>

namespace MUSTER_EXPORT muster {

// The samples [first, first + count) of a batch.
struct BatchPart {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  friend bool operator==(const BatchPart&, const BatchPart&) = default;
};

// Divides a batch among ranks, in the order of the ranks. The numbers of samples of two ranks differ by at most one,
// and are 0 on some ranks if the batch is smaller than the number of ranks. Throws Error{usage} unless 0 <= rank <
// ranks.
BatchPart part_of_batch(std::uint64_t batch, int rank, int ranks);

struct SampleStreamOptions {
  // Number of samples in the dataset, at least 1. Required.
  std::uint64_t length = 0;
  // Streams with different seeds have different orders. Default: 0.
  std::uint64_t seed = 0;
  // Whether each epoch has an order of its own. Off: each epoch takes the samples 0, 1, 2, ... Default: on.
  bool shuffle = true;
};

class SampleStream {
 public:
  // The stream begins at position 0 of epoch 0. Throws Error{usage} if the length is 0.
  explicit SampleStream(const SampleStreamOptions& options);

  [[nodiscard]] std::uint64_t length() const { return options_.length; }
  [[nodiscard]] std::uint64_t seed() const { return options_.seed; }
  [[nodiscard]] bool shuffle() const { return options_.shuffle; }
  // The epoch of the next sample, and the position of the next sample in this epoch, less than length(). After the last
  // sample of an epoch this is position 0 of the next epoch.
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] std::uint64_t position() const { return position_; }
  // The number of samples up to the end of this epoch, at least 1.
  [[nodiscard]] std::uint64_t left_in_epoch() const { return options_.length - position_; }

  // Indices into the dataset, each less than length(), of the samples [first, first + count) counted from the next one
  // (0). The stream stays where it is. Samples behind the end of the epoch are the first ones of the next epoch: a
  // batch may cross from one epoch into the next, and then may have the same sample twice, once of each epoch. A
  // program that wants batches of one epoch takes at most left_in_epoch() samples. Throws Error{usage} behind epoch
  // 2^64 - 1.
  [[nodiscard]] std::vector<std::uint64_t> samples(std::uint64_t first, std::uint64_t count) const;
  // The same for this rank's part of the next `batch` samples, by part_of_batch().
  [[nodiscard]] std::vector<std::uint64_t> samples_of_rank(std::uint64_t batch, int rank, int ranks) const;

  // Moves behind the next `count` samples. All ranks pass the samples of the whole batch, and so stay at the same
  // position. Throws Error{usage} behind epoch 2^64 - 1; then the stream stays where it is.
  void advance(std::uint64_t count);
  // Moves to this position. Throws Error{usage} if the position is not less than length().
  void seek(std::uint64_t epoch, std::uint64_t position = 0);

  // The state for a checkpoint, the same on all ranks: {"version", "seed", "length", "shuffle", "epoch", "position"}.
  // The numbers are JSON integers of up to 64 bits, which muster saves and loads exactly.
  [[nodiscard]] nlohmann::json state() const;
  // Moves to the position of the state. The version, the seed, the length and `shuffle` must be those of this stream.
  // Otherwise the function throws Error{mismatch}, which names both values, and the stream stays where it is. It also
  // throws Error{mismatch} if the state is not one that state() can return.
  void load_state(const nlohmann::json& state);

 private:
  SampleStreamOptions options_;
  std::uint64_t epoch_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace muster
