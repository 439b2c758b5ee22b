#pragma once
// How and where a dataset's bytes lie in its file.

#include <cstdint>
#include <muster/state.hpp>
#include <string>

#include "h5/handle.hpp"

namespace muster::h5 {

// The shape of its chunks; empty where it has none.
Shape chunk_shape(hid_t dataset, std::size_t dims);

// Of its first byte; its chunks, if it has any, follow each other from there. Throws Hdf5Error where they do not, or
// where nothing is allocated.
std::uint64_t storage_offset(hid_t dataset, const std::string& path);

}  // namespace muster::h5
