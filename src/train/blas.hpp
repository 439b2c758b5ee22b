#pragma once
// What LibTorch multiplies matrices with.

#include <string>

namespace muster::train {

// The file of the BLAS that this process uses where that is the reference one, which is several times slower than any
// other; empty where it is not, and where LibTorch has one built in.
std::string reference_blas();

}  // namespace muster::train
