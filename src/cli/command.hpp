#pragma once
// The commands of the program `muster`.

#include <string>
#include <utility>

#include "program/command_line.hpp"
#include "program/exit_code.hpp"
#include "program/text.hpp"

namespace muster::cli {

using program::Arguments;
using program::human_bytes;
using program::json_text;
using program::or_dash;
using program::TextTable;
using program::UsageError;
using enum program::ExitCode;

// A command line with one path and --json.
class Parser : public program::CommandLine {
 public:
  // usage: "muster ls DIR [--json]"; text: what --help says between the usage line and the options.
  Parser(const std::string& usage, const std::string& text, std::string path_name)
      : CommandLine("usage: " + usage + "\n\n" + text + '\n') {
    need_path(std::move(path_name));
    add()("json", "print JSON, for scripts");
  }
  [[nodiscard]] bool json() const { return has("json"); }
};

int list(const Arguments& arguments);
int show(const Arguments& arguments);
int verify(const Arguments& arguments);
int latest(const Arguments& arguments);
int prune(const Arguments& arguments);
int stats(const Arguments& arguments);
int dry_run(const Arguments& arguments);

}  // namespace muster::cli
