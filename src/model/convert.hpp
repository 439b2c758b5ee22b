#pragma once
// Floating-point values of one dtype as another's. Pure. Exported for the component torch.

#include <cstddef>
#include <muster/export.hpp>
#include <muster/state.hpp>
#include <span>

namespace MUSTER_EXPORT muster {

// Whether convert() knows the way: between float64, float32, float16, bfloat16 and the float8 kinds.
bool is_convertible(DType from, DType to);

// Element by element; both spans hold the same number. Wider values are exact; narrower ones are rounded to nearest,
// ties to even, or become infinite; a NaN stays one. From float64 to 8 or 16 bits by way of float32, as LibTorch does.
// What is too large for a float8 kind becomes infinite in float8_e5m2, the largest number in float8_e4m3fn (infinities
// too; LibTorch before 2.12 makes them NaNs) and NaN in the fnuz kinds. A float8_e8m0fnu has no sign, which is dropped,
// and no zero, which becomes 2^-127; what lies between two of its numbers goes to the nearer one, from the middle up to
// the larger one, but from between 2^-127 and 2^-126 always to the larger one. All of this is what LibTorch does.
void convert(DType from, std::span<const std::byte> values, DType to, std::span<std::byte> converted);

}  // namespace muster
