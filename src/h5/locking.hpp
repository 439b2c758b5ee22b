#pragma once
// HDF5's own file locks: not used.

#include "h5/check.hpp"

namespace muster::h5 {

// Published files never change and part files have one owner, so locks protect nothing here; on file systems without
// them they would only make opens fail.
inline void disable_locking(hid_t file_access) {
#if H5_VERSION_GE(1, 10, 7)
  check(H5Pset_file_locking(file_access, false, true), "H5Pset_file_locking");
#else
  static_cast<void>(file_access);
#endif
}

}  // namespace muster::h5
