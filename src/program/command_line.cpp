#include "program/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "program/run.hpp"

namespace muster::program {

namespace po = boost::program_options;

namespace {

constexpr unsigned kLineLength = 118;

}  // namespace

CommandLine::CommandLine(std::string introduction, std::string explanation)
    : introduction_(std::move(introduction)), explanation_(std::move(explanation)) {}

po::options_description_easy_init CommandLine::add(const std::string& title) {
  auto group = std::ranges::find(groups_, title, [](const auto& each) { return each.first; });
  if (group == groups_.end()) {
    groups_.emplace_back(title, po::options_description(title, kLineLength));
    group = std::prev(groups_.end());
  }
  return group->second.add_options();
}

bool CommandLine::parse(const Arguments& arguments) {
  add(groups_.empty() ? "options" : groups_.back().first)("help,h", "this page");
  po::options_description shown(kLineLength);
  for (const auto& [title, group] : groups_) shown.add(group);
  po::options_description all;
  all.add(shown).add_options()("path", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("path", -1);
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(arguments).options(all).positional(positional).style(style).run(), values_);
    po::notify(values_);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  if (has("help")) {
    std::ostringstream text;
    text << introduction_ << shown << explanation_;
    if (own_rank() == 0) fmt::print("{}", text.str());
    return false;
  }
  const auto paths = get<std::vector<std::string>>("path").value_or(std::vector<std::string>());
  if (path_name_.empty() && !paths.empty()) throw UsageError("'" + paths.front() + "' belongs to no option");
  if (!path_name_.empty() && paths.size() != 1) {
    throw UsageError(fmt::format("{} {} given, one is needed", paths.empty() ? "no" : "more than one", path_name_));
  }
  return true;
}

std::filesystem::path CommandLine::path() const { return values_["path"].as<std::vector<std::string>>().front(); }

void require_between(const char* option, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value >= least && value <= most) return;
  throw UsageError(fmt::format("{} is {}, and must be from {} to {}", option, value, least, most));
}

void require_at_least_0(const char* option, double value) {
  if (!std::isfinite(value) || value < 0)
    throw UsageError(fmt::format("{} is {}, and must be 0 or more", option, value));
}

void require_place_for(const char* option, const std::filesystem::path& file) {
  if (file.empty()) return;
  if (std::filesystem::is_directory(file)) {
    throw UsageError(fmt::format("{} is {}, a directory, and must be a file", option, file.string()));
  }
  const auto directory = std::filesystem::absolute(file).parent_path();
  if (!std::filesystem::is_directory(directory)) {
    throw UsageError(fmt::format("{} is {}, and there is no directory {}", option, file.string(), directory.string()));
  }
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> items;
  std::istringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) {
    if (!item.empty() && std::ranges::find(items, item) == items.end()) items.push_back(item);
  }
  return items;
}

}  // namespace muster::program
