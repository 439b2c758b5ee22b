#include <limits>
#include <muster/error.hpp>
#include <muster/sample_stream.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "samples/epoch_order.hpp"

namespace muster {
namespace {

constexpr std::uint64_t kVersion = 1;

struct Place {
  std::uint64_t epoch = 0;
  std::uint64_t position = 0;  // less than the length
};

std::uint64_t epochs_later(std::uint64_t epoch, std::uint64_t count) {
  if (count > std::numeric_limits<std::uint64_t>::max() - epoch) {
    throw Error(ErrorKind::usage, "a SampleStream ends with epoch 2^64 - 1");
  }
  return epoch + count;
}

Place moved(Place place, std::uint64_t length, std::uint64_t count) {
  place.epoch = epochs_later(place.epoch, count / length);
  const auto rest = count % length;
  const auto left = length - place.position;
  if (rest < left) {
    place.position += rest;
  } else {
    place.epoch = epochs_later(place.epoch, 1);
    place.position = rest - left;
  }
  return place;
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::mismatch, "the state of a SampleStream " + message);
}

std::string text_of(const nlohmann::json& value) {
  return value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

const nlohmann::json& member(const nlohmann::json& state, const std::string& name) {
  const auto found = state.find(name);
  if (found == state.end()) refuse("has no \"" + name + "\"");
  return *found;
}

std::uint64_t number(const nlohmann::json& state, const std::string& name) {
  const auto& value = member(state, name);
  if (!value.is_number_unsigned() && !(value.is_number_integer() && value.get<std::int64_t>() >= 0)) {
    refuse("has \"" + name + "\": " + text_of(value) + ", which is not an integer in [0, 2^64)");
  }
  return value.get<std::uint64_t>();
}

void require_equal(const std::string& name, std::uint64_t saved, std::uint64_t now) {
  if (saved == now) return;
  refuse("has the " + name + " " + std::to_string(saved) + ", and this stream has the " + name + " " +
         std::to_string(now));
}

}  // namespace

BatchPart part_of_batch(std::uint64_t batch, int rank, int ranks) {
  if (rank < 0 || rank >= ranks) {
    throw Error(ErrorKind::usage, "there is no rank " + std::to_string(rank) + " of " + std::to_string(ranks) +
                                      " to take a part of a batch");
  }
  // floor(batch * r / ranks), without a product that overflows.
  const auto bound = [n = static_cast<std::uint64_t>(ranks), batch](std::uint64_t r) {
    return batch / n * r + batch % n * r / n;
  };
  const auto first = bound(static_cast<std::uint64_t>(rank));
  return {first, bound(static_cast<std::uint64_t>(rank) + 1) - first};
}

SampleStream::SampleStream(const SampleStreamOptions& options) : options_(options) {
  if (options.length == 0) throw Error(ErrorKind::usage, "a SampleStream needs a dataset of at least one sample");
}

std::vector<std::uint64_t> SampleStream::samples(std::uint64_t first, std::uint64_t count) const {
  std::vector<std::uint64_t> indices;
  if (count == 0) return indices;
  indices.reserve(count);
  auto place = moved({epoch_, position_}, options_.length, first);
  while (true) {
    const samples::EpochOrder order(options_.seed, options_.length, place.epoch);
    for (; place.position < options_.length; ++place.position) {
      indices.push_back(options_.shuffle ? order.sample_at(place.position) : place.position);
      if (indices.size() == count) return indices;
    }
    place = {epochs_later(place.epoch, 1), 0};
  }
}

std::vector<std::uint64_t> SampleStream::samples_of_rank(std::uint64_t batch, int rank, int ranks) const {
  const auto part = part_of_batch(batch, rank, ranks);
  return samples(part.first, part.count);
}

void SampleStream::advance(std::uint64_t count) {
  const auto place = moved({epoch_, position_}, options_.length, count);
  epoch_ = place.epoch;
  position_ = place.position;
}

void SampleStream::seek(std::uint64_t epoch, std::uint64_t position) {
  if (position >= options_.length) {
    throw Error(ErrorKind::usage, "position " + std::to_string(position) + " is not in an epoch of " +
                                      std::to_string(options_.length) + " samples");
  }
  epoch_ = epoch;
  position_ = position;
}

nlohmann::json SampleStream::state() const {
  return {{"version", kVersion},         {"seed", options_.seed}, {"length", options_.length},
          {"shuffle", options_.shuffle}, {"epoch", epoch_},       {"position", position_}};
}

void SampleStream::load_state(const nlohmann::json& state) {
  if (!state.is_object()) refuse("is not a JSON object");
  if (const auto version = number(state, "version"); version != kVersion) {
    refuse("has version " + std::to_string(version) + " of the algorithm, and this muster has version " +
           std::to_string(kVersion));
  }
  require_equal("length", number(state, "length"), options_.length);
  require_equal("seed", number(state, "seed"), options_.seed);
  const auto shuffle = member(state, "shuffle");
  if (shuffle != options_.shuffle) {
    refuse("has \"shuffle\": " + text_of(shuffle) + ", and this stream has " + (options_.shuffle ? "true" : "false"));
  }
  const auto epoch = number(state, "epoch");
  const auto position = number(state, "position");
  if (position >= options_.length) {
    refuse("has position " + std::to_string(position) + ", which is not in an epoch of " +
           std::to_string(options_.length) + " samples");
  }
  epoch_ = epoch;
  position_ = position;
}

}  // namespace muster
