// muster-bench: how fast muster saves, loads and plans, next to the limit of the disk and to other ways to save.

#include <array>

#include "bench/options.hpp"
#include "program/commands.hpp"

int main(int argc, char** argv) {
  using muster::program::Command;
  namespace bench = muster::bench;
  constexpr std::array kCommands{
      Command{"save", "--dir DIR [--workload W] ...", "durable saves, next to the raw limit and to peers", bench::save},
      Command{"load", "--dir DIR [--workload W] ...", "loads from a cold page cache, next to the raw limit",
              bench::load},
      Command{"plan", "--ranks N --grid G ...", "planning for a large job, without that job", bench::plan},
      Command{"policy", "[--steps N] ...", "what it costs to ask SavePolicy at every step", bench::policy},
  };
  return muster::program::run_commands(
      argc, argv, kCommands, "[mpirun -n RANKS] muster-bench COMMAND ... [--json FILE]",
      "Progress goes to standard error, results to standard output;\n"
      "scripts/plot-bench draws what --json wrote.\n\n"
      "  mpirun -n 2 muster-bench save --dir /data/tmp --workload llm --size 2GiB --engine direct,collective\n\n"
      "exit codes: 0 fine; 1 what was loaded is not what was saved; 2 wrong usage; 3 could not read or write\n");
}
