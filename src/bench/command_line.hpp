#pragma once
// Options of the benchmark's commands, as all of them read them.

#include <boost/program_options.hpp>
#include <string>

#include "bench/options.hpp"

namespace muster::bench {

// Fills in what `described` names. False where --help is among the arguments: rank 0 has printed `introduction`, the
// options and `explanation` then. Throws UsageError.
bool read_options(const Arguments& arguments, const boost::program_options::options_description& described,
                  const std::string& introduction, const std::string& explanation = "");

}  // namespace muster::bench
