#include "program/commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <muster/version.hpp>

#include "program/exit_code.hpp"
#include "program/run.hpp"

namespace muster::program {

namespace {

std::string help_text(std::span<const Command> commands, const std::string& usage, const std::string& explanation) {
  std::size_t name_width = 0;
  std::size_t arguments_width = 0;
  for (const auto& command : commands) {
    name_width = std::max(name_width, std::strlen(command.name));
    arguments_width = std::max(arguments_width, std::strlen(command.arguments));
  }
  auto text = fmt::format("usage: {}\n\n", usage);
  for (const auto& command : commands) {
    text += fmt::format("  {} {:<{}}  {:<{}}  {}\n", program_invocation_short_name, command.name, name_width,
                        command.arguments, arguments_width, command.summary);
  }
  return text + fmt::format("\n`{} COMMAND --help` tells more. {}", program_invocation_short_name, explanation);
}

}  // namespace

int run_commands(int argc, char** argv, std::span<const Command> commands, const std::string& usage,
                 const std::string& explanation) {
  return run_program([&]() -> int {
    if (argc < 2) throw UsageError("no command given");
    const std::string word = argv[1];
    for (const auto& command : commands) {
      if (command.name != word) continue;
      try {
        return command.run(Arguments(argv + 2, argv + argc));
      } catch (const UsageError& error) {
        throw UsageError(fmt::format("{}: {}", word, error.what()), word);
      }
    }
    const bool asks_version = word == "--version";
    if (!asks_version && word != "--help" && word != "-h" && word != "help") {
      throw UsageError("no command '" + word + "'");
    }
    if (own_rank() != 0) return kFine;
    fmt::print("{}", asks_version ? fmt::format("{} {}\n", program_invocation_short_name, kVersion)
                                  : help_text(commands, usage, explanation));
    return kFine;
  });
}

}  // namespace muster::program
