#pragma once
// How payload bytes reach the part file. An engine gets the same layout as any other and leaves the same bytes.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/shard_bytes.hpp"
#include "model/layout.hpp"
#include "mpi/comm.hpp"

namespace muster::engine {

struct WriteResult {
  std::vector<std::uint64_t> hashes;  // XXH3 of this rank's extents, in the layout's order
  std::uint64_t bytes = 0;
  std::uint64_t direct_bytes = 0;      // of the file, written past the page cache
  std::optional<double> first_byte_s;  // from the call to the first byte given to the system; none where there is none
  std::uint64_t collective_transfers = 0;
  std::uint64_t independent_transfers = 0;
};

// A part file in its full size, as every rank sees it. What it refers to outlives its writer.
struct Part {
  const mpi::CommView& comm;
  const std::filesystem::path& path;
  const Layout* layout;
  const std::map<std::string, std::string>& hints;  // for MPI-IO
};

// One part file opened by all ranks. Every call is made on all ranks. A rank on which something local fails throws;
// an engine whose ranks wait for each other first makes all transfers that the others wait for.
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
  // "direct" or "collective"
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Whether ranks wait for each other as they write. The part must then hold its head when it is opened, and be seen
  // to hold the same one when it is sealed; and ranks cannot take turns.
  [[nodiscard]] virtual bool is_collective() const = 0;
  virtual std::unique_ptr<PartWriter> open(const Part& part) = 0;
};

}  // namespace muster::engine
