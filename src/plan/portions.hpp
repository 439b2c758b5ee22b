#pragma once
// What a rank says it holds, cut into what it is likely to say with others. Pure.

#include <vector>

#include "base/bytes.hpp"
#include "plan/description.hpp"

namespace muster::plan {

// The packed descriptions: tensors held whole, then parts by the first key of their path (/model, /optimizer, ...).
// Ranks that hold the same model but each its own part of the optimizer say the same of the model, and that travels
// once. Each portion is for unpack(); nothing for no tensors.
std::vector<Bytes> pack_portions(const Described& described);

}  // namespace muster::plan
