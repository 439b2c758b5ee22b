#include "mpi/call_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/hash.hpp"
#include "mpi/exchange.hpp"

namespace muster::mpi {

void CallHeader::begin(const std::string& call, std::span<std::uint64_t> values) {
  const auto text = fmt::format("'{}' (call {} of this Checkpointer)", call, ++calls_);
  const auto hash = hash_bytes(as_bytes(text));
  std::array<std::uint64_t, kValues + 2> header{};
  header.fill(kNone);
  header[0] = hash;
  header[1] = ~hash;
  std::ranges::copy(values, header.begin() + 2);
  comm_.all_min(header);
  if (header[0] != ~header[1]) require_same(comm_, "agree", "the call that they make", text);
  std::copy_n(header.begin() + 2, values.size(), values.begin());
}

}  // namespace muster::mpi
