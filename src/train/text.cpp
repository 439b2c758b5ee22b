#include "train/text.hpp"

#include <fcntl.h>

#include <muster/error.hpp>
#include <span>
#include <string>

#include "base/posix.hpp"
#include "train/collectives.hpp"

namespace muster::train {
namespace {

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

Sequences Text::sequences(const std::vector<std::uint64_t>& starts, std::int64_t context) const {
  const auto count = static_cast<std::int64_t>(starts.size());
  const Sequences sequences{torch::empty({count, context}, torch::kInt64),
                            torch::empty({count, context}, torch::kInt64)};
  auto* input = sequences.inputs.data_ptr<std::int64_t>();
  auto* target = sequences.targets.data_ptr<std::int64_t>();
  for (const auto start : starts) {
    const auto* byte = bytes_.data() + start;
    for (std::int64_t position = 0; position < context; ++position, ++byte) {
      *input++ = byte[0];
      *target++ = byte[1];
    }
  }
  return sequences;
}

}  // namespace muster::train
