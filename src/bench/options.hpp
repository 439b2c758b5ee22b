#pragma once
// The command lines of `muster-bench save` and `muster-bench load`. Local.

#include <cstdint>
#include <filesystem>
#include <muster/error.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/engine_variant.hpp"
#include "bench/held_tensors.hpp"
#include "bench/peer_contender.hpp"
#include "bench/rounds.hpp"
#include "bench/workload.hpp"

namespace muster::bench {

using Arguments = std::vector<std::string>;

// Wrong use of the command line: one line, exit code 2.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ErrorKind::usage, message) {}
};

struct Options {
  std::filesystem::path directory = {};
  Workload workload = {};
  std::vector<EngineVariant> engines = {};
  bool with_limit = true;
  std::vector<std::string> peers = {};
  RoundsOptions rounds = {};
  Held held = Held::sharded;
  std::optional<Held> into = std::nullopt;
  std::uint64_t seed = 1;
  PeerOptions peer = {};
  std::optional<std::filesystem::path> json_file = std::nullopt;
};

// Nothing where help was asked for; it was printed then. Throws UsageError.
std::optional<Options> parse_save(const Arguments& arguments);
std::optional<Options> parse_load(const Arguments& arguments);

}  // namespace muster::bench
