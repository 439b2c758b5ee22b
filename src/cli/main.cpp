// muster: looks at checkpoints from the command line. No MPI launcher is needed, and no LibTorch.

#include <array>

#include "cli/command.hpp"
#include "h5/library.hpp"
#include "program/commands.hpp"

int main(int argc, char** argv) {
  using muster::program::Command;
  namespace cli = muster::cli;
  muster::h5::skip_cleanup_at_exit();
  constexpr std::array kCommands{
      Command{"ls", "DIR", "list the checkpoints of a directory", cli::list},
      Command{"show", "PATH [--tag T] [--tensors]", "what a checkpoint holds and how it was saved", cli::show},
      Command{"verify", "PATH [--tag T | --all]", "re-read and check every byte (also under mpirun)", cli::verify},
      Command{"latest", "DIR [--verify]", "the tag that a resume takes", cli::latest},
      Command{"stats", "DIR [--last N]", "what the saves of a directory cost, and which rank is slow", cli::stats},
      Command{"dry-run", "PATH --ranks N [--grid ...] ...", "what a load by another grid would read, send and need",
              cli::dry_run},
      Command{"prune", "DIR --keep-last N [--dry-run]", "delete old checkpoints", cli::prune},
  };
  return muster::program::run_commands(
      argc, argv, kCommands, "muster COMMAND ... [--json]",
      "PATH is a directory of checkpoints or one checkpoint file.\n\n"
      "exit codes: 0 fine; 1 what was checked is not so (damaged, none found); 2 wrong usage;\n"
      "            3 could not read or write\n");
}
