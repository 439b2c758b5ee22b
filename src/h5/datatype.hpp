#pragma once
// HDF5 datatypes of tensors, texts and tables.

#include <cstdint>
#include <muster/state.hpp>
#include <optional>

#include "h5/handle.hpp"

namespace muster::h5 {

// The file's type of a tensor's elements; memory holds the same bytes, so that nothing is ever converted.
//   float16, bfloat16   custom 16-bit floats (5/10 and 8/7 bits of exponent and mantissa)
//   boolean             8-bit enum {FALSE = 0, TRUE = 1}, as h5py writes it
//   complex64/128       compound {r, i}, as h5py writes it
//   float8_e5m2, ...    custom 8-bit floats; those whose largest exponent holds numbers are told apart by their biases
//   float8_e8m0fnu      8-bit enum of the codes, with names for three of them
Datatype tensor_type(DType dtype);
// The dtype whose tensor_type equals this type, or nothing.
std::optional<DType> dtype_of(hid_t type);

// A text of fixed capacity, ended by a zero, UTF-8.
Datatype text_type(std::uint64_t capacity_bytes);
// Rows of the tables, as docs/reference/format.md lists their fields.
Datatype integrity_type();
Datatype telemetry_type();

}  // namespace muster::h5
