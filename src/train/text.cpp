#include "train/text.hpp"

#include <fcntl.h>

#include <muster/error.hpp>
#include <span>
#include <string>

#include "base/posix.hpp"
#include "train/collectives.hpp"

namespace muster::train {
namespace {

// The finaliser of SplitMix64: neighbouring inputs give unrelated outputs.
std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path, std::int64_t context) {
  std::vector<std::uint8_t> bytes;
  try {
    const posix::File file(path, O_RDONLY);
    bytes.resize(file.size());
    file.read_at(std::as_writable_bytes(std::span(bytes)), 0);
  } catch (const Error& error) {
    throw Error(ErrorKind::usage, std::string("--text: ") + error.what());
  }
  const auto needed = static_cast<std::uint64_t>(context) + 1;  // a sequence and the byte after it
  if (bytes.size() < needed) {
    throw Error(ErrorKind::usage, "--text " + path.string() + " has " + std::to_string(bytes.size()) +
                                      " bytes; --context " + std::to_string(context) + " needs at least " +
                                      std::to_string(needed));
  }
  return bytes;
}

}  // namespace

BatchPart part_of_batch(std::int64_t batch, int rank, int ranks) {
  const auto bound = [&](std::int64_t r) { return batch * r / ranks; };
  return {bound(rank), bound(rank + std::int64_t{1}) - bound(rank)};
}

Text Text::read(const mpi::CommView& comm, const std::filesystem::path& file, std::int64_t context) {
  std::vector<std::uint8_t> bytes;
  together(comm, [&] {
    if (comm.rank() == 0) bytes = read_bytes(file, context);
  });
  std::uint64_t size = bytes.size();
  comm.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0);
  together(comm, [&] { bytes.resize(size); });
  comm.broadcast(std::as_writable_bytes(std::span(bytes)), 0);
  return Text(std::move(bytes));
}

std::uint64_t Text::start_of(std::int64_t seed, std::int64_t step, std::int64_t sequence, std::int64_t context) const {
  const auto starts = bytes_.size() - static_cast<std::uint64_t>(context);
  const auto of_step = mix(mix(static_cast<std::uint64_t>(seed)) ^ static_cast<std::uint64_t>(step));
  return mix(of_step ^ static_cast<std::uint64_t>(sequence)) % starts;
}

Sequences Text::sequences(std::int64_t seed, std::int64_t step, BatchPart part, std::int64_t context) const {
  const Sequences sequences{torch::empty({part.count, context}, torch::kInt64),
                            torch::empty({part.count, context}, torch::kInt64)};
  auto* input = sequences.inputs.data_ptr<std::int64_t>();
  auto* target = sequences.targets.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < part.count; ++i) {
    const auto* byte = bytes_.data() + start_of(seed, step, part.first + i, context);
    for (std::int64_t position = 0; position < context; ++position, ++byte) {
      *input++ = byte[0];
      *target++ = byte[1];
    }
  }
  return sequences;
}

}  // namespace muster::train
