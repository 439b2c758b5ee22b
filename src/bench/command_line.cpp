#include "bench/command_line.hpp"

#include <fmt/format.h>

#include <sstream>

#include "bench/launched_rank.hpp"

namespace muster::bench {

namespace po = boost::program_options;

bool read_options(const Arguments& arguments, const po::options_description& described, const std::string& introduction,
                  const std::string& explanation) {
  po::variables_map found;
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(arguments).options(described).positional({}).style(style).run(), found);
    po::notify(found);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  if (found.count("help") == 0) return true;
  std::ostringstream text;
  text << introduction << '\n' << described << explanation;
  if (launched_rank() == 0) fmt::print("{}", text.str());
  return false;
}

}  // namespace muster::bench
