// muster-bench: how fast muster saves, loads and plans, next to the limit of the disk and to other ways to save.

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <muster/error.hpp>
#include <muster/version.hpp>
#include <string_view>

#include "bench/command.hpp"
#include "bench/exit_code.hpp"
#include "bench/launched_rank.hpp"

namespace muster::bench {

namespace {

struct Command {
  std::string_view name;
  std::string_view arguments;
  std::string_view summary;
  int (*run)(const Arguments&);
};

constexpr std::array kCommands{
    Command{"save", "--dir DIR [--workload W] ...", "durable saves, next to the raw limit and to peers", save},
    Command{"load", "--dir DIR [--workload W] ...", "loads from a cold page cache, next to the raw limit", load},
    Command{"plan", "--ranks N --grid G ...", "planning for a large job, without that job", plan},
    Command{"policy", "[--steps N] ...", "what it costs to ask SavePolicy at every step", policy},
};

void print_help() {
  if (launched_rank() != 0) return;
  fmt::print("usage: [mpirun -n RANKS] muster-bench COMMAND ... [--json FILE]\n\n");
  for (const auto& command : kCommands) {
    fmt::print("  muster-bench {:<7}{:<31}{}\n", command.name, command.arguments, command.summary);
  }
  fmt::print(
      "\n`muster-bench COMMAND --help` tells more. Progress goes to standard error, results to standard output;\n"
      "scripts/plot-bench draws what --json wrote.\n\n"
      "  mpirun -n 2 muster-bench save --dir /data/tmp --workload llm --size 2GiB --engine direct,collective\n\n"
      "exit codes: 0 fine; 1 what was loaded is not what was saved; 2 wrong usage; 3 could not read or write\n");
}

int run(const Arguments& arguments) {
  if (arguments.empty()) throw UsageError("no command given; `muster-bench --help` lists them");
  const auto& word = arguments.front();
  for (const auto& command : kCommands) {
    if (command.name != word) continue;
    try {
      return command.run({arguments.begin() + 1, arguments.end()});
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("{}: {}", word, error.what()));
    }
  }
  if (word == "--help" || word == "-h" || word == "help") {
    print_help();
    return kFine;
  }
  if (word == "--version") {
    if (launched_rank() == 0) fmt::print("muster-bench {}\n", kVersion);
    return kFine;
  }
  throw UsageError("no command '" + word + "'; `muster-bench --help` lists them");
}

}  // namespace

}  // namespace muster::bench

int main(int argc, char** argv) {
  using namespace muster::bench;
  // What comes here is the same on every rank: wrong usage, or a CollectiveError.
  const auto tell = [](const std::exception& error) {
    if (launched_rank() == 0) fmt::print(stderr, "muster-bench: {}\n", error.what());
  };
  try {
    const int code = run(Arguments(argv + 1, argv + argc));
    if (std::fflush(stdout) != 0) throw muster::Error(muster::ErrorKind::io, "cannot write to standard output");
    return code;
  } catch (const muster::Error& error) {
    tell(error);
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    tell(error);
    return kNoAccess;
  }
}
