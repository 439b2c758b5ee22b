#pragma once
// The HDF5 library that runs.

#include <string>

namespace muster::h5 {

// "1.10.8"
std::string library_version();

// For programs that only read: leaves HDF5's clean-up at exit out. HDF5 1.10 keeps something of a file whose open
// failed on damaged metadata, and complains of it there. To be called before anything else of HDF5.
void skip_cleanup_at_exit();

}  // namespace muster::h5
