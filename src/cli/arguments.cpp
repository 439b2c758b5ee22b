#include "cli/arguments.hpp"

#include <fmt/format.h>

#include <iostream>
#include <sstream>

namespace muster::cli {

namespace po = boost::program_options;

Parser::Parser(std::string usage, std::string text, std::string path_name)
    : usage_(std::move(usage)), text_(std::move(text)), path_name_(std::move(path_name)), options_("options") {
  options_.add_options()("help,h", "this page")("json", "print JSON, for scripts");
}

bool Parser::parse(const Arguments& arguments) {
  po::options_description all;
  all.add(options_).add_options()("path", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("path", -1);
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(positional).run(), values_);
    po::notify(values_);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  if (has("help")) {
    std::ostringstream options;
    options << options_;
    fmt::print("usage: {}\n\n{}\n\n{}", usage_, text_, options.str());
    return false;
  }
  const auto paths = get<std::vector<std::string>>("path").value_or(std::vector<std::string>());
  if (paths.size() != 1) {
    throw UsageError(fmt::format("{} {} given, one is needed (usage: {})", paths.empty() ? "no" : "more than one",
                                 path_name_, usage_));
  }
  return true;
}

std::filesystem::path Parser::path() const { return values_["path"].as<std::vector<std::string>>().front(); }

}  // namespace muster::cli
