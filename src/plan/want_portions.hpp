#pragma once
// What a rank wants from a file, cut into what it is likely to want with others. Pure.

#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "model/catalog.hpp"
#include "plan/read_plan.hpp"

namespace muster::plan {

// The packed wants: of whole tensors by the first key of the tensor's path, then of parts by that. Ranks that want the
// same model but each its own part of the optimizer, be it some small tensors whole, wish the same of the model.
// Nothing for no wants.
std::vector<Bytes> pack_want_portions(const Catalog& catalog, const std::vector<Want>& wants);
std::vector<Want> unpack_wants(std::span<const std::byte> bytes);

}  // namespace muster::plan
