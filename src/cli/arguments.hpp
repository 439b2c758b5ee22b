#pragma once
// Parsing the arguments of one command with Boost.Program_options.

#include <boost/program_options.hpp>
#include <filesystem>
#include <muster/error.hpp>
#include <optional>
#include <string>

#include "cli/command.hpp"

namespace muster::cli {

// Wrong use of the command line: one line, exit code 2.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ErrorKind::usage, message) {}
};

// A command that takes one path and options; --help and --json come by themselves.
class Parser {
 public:
  // usage: "muster ls DIR [--json]"; text: what --help says between the usage line and the options.
  Parser(std::string usage, std::string text, std::string path_name);
  boost::program_options::options_description_easy_init add() { return options_.add_options(); }
  // Returns false where --help was asked for, and has printed it. Throws UsageError.
  bool parse(const Arguments& arguments);
  [[nodiscard]] std::filesystem::path path() const;
  [[nodiscard]] bool json() const { return has("json"); }
  [[nodiscard]] bool has(const char* option) const { return values_.count(option) > 0; }
  template <class T>
  [[nodiscard]] std::optional<T> get(const char* option) const {
    return has(option) ? std::optional<T>(values_[option].as<T>()) : std::nullopt;
  }

 private:
  std::string usage_;
  std::string text_;
  std::string path_name_;
  boost::program_options::options_description options_;
  boost::program_options::variables_map values_;
};

}  // namespace muster::cli
