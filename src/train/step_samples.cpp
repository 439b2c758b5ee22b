#include "train/step_samples.hpp"

#include <muster/error.hpp>

#include "base/narrow.hpp"

namespace muster::train {
namespace {

constexpr const char* kKey = "samples";

// The finaliser of SplitMix64: neighbouring inputs give unrelated outputs.
std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// The order of versions without a SampleStream, which may take a sample twice. Runs that they began go on in it.
std::vector<std::uint64_t> samples_of_earlier_versions(std::uint64_t seed, std::int64_t step, BatchPart part,
                                                       std::uint64_t start_count) {
  const auto of_step = mix(mix(seed) ^ static_cast<std::uint64_t>(step));
  std::vector<std::uint64_t> samples;
  for (auto at = part.first; at < part.first + part.count; ++at) samples.push_back(mix(of_step ^ at) % start_count);
  return samples;
}

}  // namespace

StepSamples::StepSamples(std::int64_t seed, std::uint64_t start_count, std::int64_t batch)
    : seed_(narrow<std::uint64_t>(seed)),
      start_count_(start_count),
      batch_(narrow<std::uint64_t>(batch)),
      stream_(SampleStream({.length = start_count_, .seed = seed_})) {}

std::vector<std::uint64_t> StepSamples::of_rank(std::int64_t step, int rank, int ranks) const {
  if (stream_) return stream_->samples_of_rank(batch_, rank, ranks);
  return samples_of_earlier_versions(seed_, step, part_of_batch(batch_, rank, ranks), start_count_);
}

void StepSamples::end_step() {
  if (stream_) stream_->advance(batch_);
}

void StepSamples::add_to(nlohmann::json& user_content) const {
  if (stream_) user_content[kKey] = stream_->state();
}

std::string StepSamples::load_from(const nlohmann::json& user_content, const std::string& tag, bool may_begin_anew) {
  const SampleStreamOptions options{.length = start_count_, .seed = seed_};
  if (!user_content.is_object() || !user_content.contains(kKey)) {
    const auto note = "note: " + tag + " has no state of the samples: ";
    if (may_begin_anew) {
      stream_.emplace(options);
      return note + "a new stream begins";
    }
    stream_.reset();
    return note + "they go on in the order of earlier versions; --new-samples begins a new stream";
  }
  SampleStream stream(options);
  try {
    stream.load_state(user_content[kKey]);
  } catch (const Error& error) {
    if (!may_begin_anew) throw Error(error.kind(), tag + ": " + error.what() + "; --new-samples begins a new stream");
    stream_.emplace(options);
    return "note: a new stream of samples begins: in " + tag + " " + error.what();
  }
  stream_ = stream;
  return {};
}

}  // namespace muster::train
