#pragma once
// The arguments of a program or of one of its commands, parsed with Boost.Program_options.

#include <boost/program_options.hpp>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <initializer_list>
#include <muster/error.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace muster::program {

using Arguments = std::vector<std::string>;

// Wrong use of the command line.
class UsageError : public Error {
 public:
  // command: whose help explains the right use; empty: the program's own help.
  explicit UsageError(const std::string& message, std::string command = {})
      : Error(ErrorKind::usage, message), command_(std::move(command)) {}
  [[nodiscard]] const std::string& command() const { return command_; }

 private:
  std::string command_;
};

// --help comes by itself. Options are not abbreviated, and what belongs to none is wrong usage.
class CommandLine {
 public:
  // What --help says before the options and after them.
  explicit CommandLine(std::string introduction, std::string explanation = {});
  // Adds options to the group of that title.
  boost::program_options::options_description_easy_init add(const std::string& title = "options");
  // One argument that belongs to no option is needed; messages call it so.
  void need_path(std::string name) { path_name_ = std::move(name); }

  // Returns false if --help is among the arguments: rank 0 has printed the help. Throws UsageError.
  bool parse(const Arguments& arguments);
  [[nodiscard]] std::filesystem::path path() const;
  [[nodiscard]] bool has(const char* option) const { return values_.count(option) > 0; }
  template <class T>
  [[nodiscard]] std::optional<T> get(const char* option) const {
    return has(option) ? std::optional<T>(values_[option].as<T>()) : std::nullopt;
  }

 private:
  std::string introduction_;
  std::string explanation_;
  std::string path_name_;
  std::deque<std::pair<std::string, boost::program_options::options_description>> groups_;  // by title
  boost::program_options::variables_map values_;
};

// An option whose default is the present value of `target`.
template <class T>
auto value(T& target, const char* name) {
  return boost::program_options::value(&target)->default_value(target)->value_name(name);
}

// These throw UsageError.
void require_between(const char* option, std::int64_t value, std::int64_t least, std::int64_t most);
void require_at_least_0(const char* option, double value);
// That a file can be written there, as far as its directory tells; empty: the option was not given.
void require_place_for(const char* option, const std::filesystem::path& file);

// The value of that name. Throws UsageError that lists the names.
template <class T>
T named(const std::string& option, const std::string& name, std::initializer_list<std::pair<const char*, T>> values) {
  std::string names;
  for (const auto& [known, value] : values) {
    if (name == known) return value;
    names.append(names.empty() ? "" : ", ").append(known);
  }
  throw UsageError(option + " is '" + name + "', and must be one of " + names);
}

// What `parse` returns; an Error that it throws becomes a UsageError that names the option.
template <class Parse>
auto as_usage(const std::string& option, Parse&& parse) {
  try {
    return parse();
  } catch (const Error& error) {
    throw UsageError(option + ": " + error.what());
  }
}

// The parts of a comma list; empty ones and repetitions are left out.
std::vector<std::string> split(const std::string& list);

}  // namespace muster::program
