#pragma once
// A program that consists of commands.

#include <span>
#include <string>

#include "program/command_line.hpp"

namespace muster::program {

// Parses its own arguments, prints, and returns an exit code.
struct Command {
  const char* name;
  const char* arguments;  // for --help, as the summary
  const char* summary;
  int (*run)(const Arguments&);
};

// The main function: --help, --version, or the command that the first argument names. `usage` and `explanation` are the
// parts of --help before and after the commands.
int run_commands(int argc, char** argv, std::span<const Command> commands, const std::string& usage,
                 const std::string& explanation);

}  // namespace muster::program
