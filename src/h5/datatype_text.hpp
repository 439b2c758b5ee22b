#pragma once
// Any HDF5 datatype in a few words, for messages.

#include <string>

#include "h5/handle.hpp"

namespace muster::h5 {

// "unsigned integer of 24 bits", "opaque of 1 byte, tagged 'x'", ...; never throws for what HDF5 itself does not know.
std::string to_text(hid_t type);

}  // namespace muster::h5
