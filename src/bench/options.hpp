#pragma once
// The commands of muster-bench, and the command lines of `save` and `load`.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/held_tensors.hpp"
#include "bench/save_contender.hpp"
#include "bench/workload.hpp"
#include "program/command_line.hpp"
#include "program/exit_code.hpp"
#include "program/run.hpp"
#include "program/text.hpp"

namespace muster::bench {

using program::Arguments;
using program::UsageError;
using enum program::ExitCode;

inline constexpr double kTimeoutS = 1800;  // for ranks to wait for each other

// Collective over all processes started. MPI is initialised once the arguments are found right.
int save(const Arguments& arguments);
int load(const Arguments& arguments);
int policy(const Arguments& arguments);
// Local, without MPI; ranks other than 0 do nothing.
int plan(const Arguments& arguments);

struct Options {
  Arguments arguments = {};
  std::filesystem::path directory = {};
  Workload workload = {};
  Held held = Held::sharded;
  int rounds = 7;
  std::string json_file = {};               // empty: none
  std::vector<SaveVariant> engines = {};    // of `save`
  std::vector<std::string> peers = {};      // of `save`
  std::optional<Held> into = std::nullopt;  // of `load`
};

// Nothing if help was asked for; it was printed then. Throws UsageError.
std::optional<Options> parse_save(const Arguments& arguments);
std::optional<Options> parse_load(const Arguments& arguments);

}  // namespace muster::bench
