#pragma once
// What a rank's part of a save comes to, whichever engine writes it.

#include <cstdint>
#include <optional>
#include <vector>

namespace muster::engine {

struct WriteResult {
  std::vector<std::uint64_t> hashes;  // XXH3 of this rank's extents, in the layout's order
  std::uint64_t bytes = 0;
  std::uint64_t direct_bytes = 0;      // of the file, written past the page cache
  std::optional<double> first_byte_s;  // from the call to the first byte given to the system; none if no byte was
  std::uint64_t collective_transfers = 0;
  std::uint64_t independent_transfers = 0;
};

}  // namespace muster::engine
