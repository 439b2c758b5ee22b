#pragma once
// The HDF5 library that runs.

#include <string>

namespace muster::h5 {

// "1.10.8"
std::string library_version();

}  // namespace muster::h5
