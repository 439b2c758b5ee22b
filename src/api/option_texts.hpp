#pragma once
// The options of a Checkpointer as texts, for comparisons between ranks and between calls.

#include <muster/checkpoint.hpp>
#include <string>
#include <utility>
#include <vector>

namespace muster::api {

// Name and value of each option that is the same on all ranks; equal texts mean equal options.
std::vector<std::pair<std::string, std::string>> option_texts(const CheckpointerOptions& options);

}  // namespace muster::api
