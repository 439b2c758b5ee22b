#pragma once
// A catalog packed to travel from the rank that read it to the others.

#include "base/bytes.hpp"
#include "model/catalog.hpp"

namespace muster {

// Telemetry and the details of the run stay behind: nobody but the reading rank shows them.
Bytes pack(const Catalog& catalog);
Catalog unpack_catalog(std::span<const std::byte> bytes);

}  // namespace muster
