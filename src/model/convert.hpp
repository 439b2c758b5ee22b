#pragma once
// Floating-point values of one dtype as another's. Pure. Exported for the component torch.

#include <cstddef>
#include <muster/export.hpp>
#include <muster/state.hpp>
#include <span>

namespace MUSTER_EXPORT muster {

// Whether convert() knows the way: between float64, float32, float16 and bfloat16.
bool is_convertible(DType from, DType to);

// Element by element; both spans hold the same number. Wider values are exact; narrower ones are rounded to nearest,
// ties to even, or become infinite; a NaN stays one. From float64 to 16 bits by way of float32, as LibTorch does.
void convert(DType from, std::span<const std::byte> values, DType to, std::span<std::byte> converted);

}  // namespace muster
