#pragma once
// The document /run as JSON text.

#include <string>

#include "model/catalog.hpp"

namespace muster::h5 {

std::string to_text(const RunInfo& run);
// Throws Error{corrupt}.
RunInfo run_from_text(const std::string& text);

}  // namespace muster::h5
