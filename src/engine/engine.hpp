#pragma once
// How payload bytes reach the part file. An engine gets the same layout as any other and leaves the same bytes.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/shard_bytes.hpp"
#include "model/layout.hpp"
#include "mpi/comm.hpp"

namespace muster::engine {

struct WriteResult {
  std::vector<std::uint64_t> hashes;  // XXH3 of this rank's extents, in the layout's order
  std::uint64_t bytes = 0;
  std::uint64_t collective_transfers = 0;
  std::uint64_t independent_transfers = 0;
};

// One part file opened by all ranks. Every call is collective; a rank on which something local fails still makes all
// transfers that the others wait for, and throws at the end. The destructor closes the file (collective too).
class PartWriter {
 public:
  virtual ~PartWriter() = default;
  // Writes the extents of the layout whose writer this rank is.
  virtual WriteResult write(const LocalShards& shards) = 0;
  // Makes them durable, as far as this rank's node holds them, and closes the file.
  virtual void sync() = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // "collective"
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Collective. `part` exists on all ranks in its full size, with its head.
  virtual std::unique_ptr<PartWriter> open(const mpi::CommView& comm, const std::filesystem::path& part,
                                           const Layout& layout) = 0;
};

}  // namespace muster::engine
