#pragma once
// The head: all HDF5 metadata of a checkpoint, built once from a layout and kept as bytes. Local.

#include <filesystem>
#include <vector>

#include "base/bytes.hpp"
#include "model/layout.hpp"

namespace muster::h5 {

struct Head {
  Bytes bytes;                                  // layout.head_bytes of them
  std::vector<std::uint64_t> object_addresses;  // of each tensor of the layout, for object references
};

// Declares every table and tensor of the layout through HDF5 in a new file at `path` (created or truncated), which is
// left in its full size without payload, and returns the head's bytes. The same layout gives the same bytes. Throws
// Error{io}; Error{internal} where HDF5 places a dataset elsewhere than the layout foretold.
Head build_head(const Layout& layout, const std::filesystem::path& path);

}  // namespace muster::h5
