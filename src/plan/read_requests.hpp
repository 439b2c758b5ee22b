#pragma once
// Read requests as byte strings that many ranks have in common. Pure.

#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "model/layout.hpp"
#include "plan/read_plan.hpp"

namespace muster::plan {

// Packed requests: for whole tensors by the first key of the tensor's path, then for parts by that key. If ranks load
// the same model but each its own part of the optimizer, even if some small tensors of it whole, the string of the
// model is the same on all of them. None for no requests.
std::vector<Bytes> pack_for_exchange(const Layout& layout, const std::vector<ReadRequest>& requests);
std::vector<ReadRequest> unpack_requests(std::span<const std::byte> bytes);

}  // namespace muster::plan
