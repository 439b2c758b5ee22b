// muster: looks at checkpoints from the command line. No MPI launcher is needed, and no LibTorch.

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <muster/error.hpp>
#include <muster/version.hpp>
#include <string_view>

#include "cli/arguments.hpp"
#include "cli/command.hpp"
#include "h5/library.hpp"

namespace muster::cli {

namespace {

struct Command {
  std::string_view name;
  std::string_view arguments;
  std::string_view summary;
  int (*run)(const Arguments&);
};

constexpr std::array kCommands{
    Command{"ls", "DIR", "list the checkpoints of a directory", list},
    Command{"show", "PATH [--tag T] [--tensors]", "what a checkpoint holds and how it was saved", show},
    Command{"verify", "PATH [--tag T | --all]", "re-read and check every byte (also under mpirun)", verify},
    Command{"latest", "DIR [--verify]", "the tag that a resume takes", latest},
    Command{"stats", "DIR [--last N]", "what the saves of a directory cost, and which rank is slow", stats},
    Command{"dry-run", "PATH --ranks N [--grid ...] ...", "what a load by another grid would read, send and need",
            dry_run},
    Command{"prune", "DIR --keep-last N [--dry-run]", "delete old checkpoints", prune},
};

void print_help() {
  fmt::print("usage: muster COMMAND ... [--json]\n\n");
  for (const auto& command : kCommands) {
    fmt::print("  muster {:<10}{:<33}{}\n", command.name, command.arguments, command.summary);
  }
  fmt::print(
      "\n`muster COMMAND --help` tells more. PATH is a directory of checkpoints or one checkpoint file.\n\n"
      "exit codes: 0 fine; 1 what was checked is not so (damaged, none found); 2 wrong usage;\n"
      "            3 could not read or write\n");
}

int run(const Arguments& arguments) {
  if (arguments.empty()) throw UsageError("no command given; `muster --help` lists them");
  const auto& word = arguments.front();
  if (word == "--help" || word == "-h" || word == "help") {
    print_help();
    return kFine;
  }
  if (word == "--version") {
    fmt::print("muster {}\n", kVersion);
    return kFine;
  }
  for (const auto& command : kCommands) {
    if (command.name != word) continue;
    try {
      return command.run({arguments.begin() + 1, arguments.end()});
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("{}: {}", word, error.what()));
    }
  }
  throw UsageError("no command '" + word + "'; `muster --help` lists them");
}

}  // namespace

ExitCode exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return kWrongUsage;
    case ErrorKind::io:
    case ErrorKind::busy:
    case ErrorKind::timeout:
    case ErrorKind::internal:
    case ErrorKind::superseded:
      return kNoAccess;
    case ErrorKind::mismatch:
    case ErrorKind::exists:
    case ErrorKind::not_found:
    case ErrorKind::corrupt:
      return kNotSo;
  }
  return kNoAccess;
}

}  // namespace muster::cli

int main(int argc, char** argv) {
  using namespace muster::cli;
  try {
    muster::h5::skip_cleanup_at_exit();
    const int code = run(Arguments(argv + 1, argv + argc));
    if (std::fflush(stdout) != 0) throw muster::Error(muster::ErrorKind::io, "cannot write to standard output");
    return code;
  } catch (const UsageError& error) {
    fmt::print(stderr, "muster: {}\n", error.what());
    return kWrongUsage;
  } catch (const muster::Error& error) {
    fmt::print(stderr, "muster: {}\n", error.what());
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    fmt::print(stderr, "muster: {}\n", error.what());
    return kNoAccess;
  }
}
