#pragma once
// How and where a dataset's bytes lie in its file.

#include <cstdint>
#include <muster/state.hpp>
#include <string>

#include "h5/handle.hpp"

namespace muster::h5 {

// The shape of its chunks; empty where it has none. Throws Error{corrupt} for chunks that muster does not write.
Shape chunk_shape(hid_t dataset, const Shape& shape, const std::string& path);

// Of its first byte; its chunks, if it has any, follow each other from there. Throws Error{corrupt} where they have an
// index, or where nothing is allocated.
std::uint64_t storage_offset(hid_t dataset, const std::string& path);

}  // namespace muster::h5
