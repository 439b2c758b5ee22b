#pragma once
// Which Torch scalar type each dtype is: the one place that knows which version of LibTorch has which.

#include <c10/core/ScalarType.h>
#include <torch/version.h>

#include <array>
#include <muster/state.hpp>
#include <optional>
#include <utility>

#define MUSTER_LIBTORCH_AT_LEAST(major, minor) \
  (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace muster::torch_adapter {

inline constexpr auto kScalarTypes = std::to_array<std::pair<c10::ScalarType, DType>>({
  {c10::ScalarType::Double, DType::float64}, {c10::ScalarType::Float, DType::float32},
      {c10::ScalarType::Half, DType::float16}, {c10::ScalarType::BFloat16, DType::bfloat16},
      {c10::ScalarType::Char, DType::int8}, {c10::ScalarType::Short, DType::int16},
      {c10::ScalarType::Int, DType::int32}, {c10::ScalarType::Long, DType::int64},
      {c10::ScalarType::Byte, DType::uint8}, {c10::ScalarType::Bool, DType::boolean},
      {c10::ScalarType::ComplexFloat, DType::complex64}, {c10::ScalarType::ComplexDouble, DType::complex128},
#if MUSTER_LIBTORCH_AT_LEAST(2, 1)
      {c10::ScalarType::Float8_e5m2, DType::float8_e5m2}, {c10::ScalarType::Float8_e4m3fn, DType::float8_e4m3fn},
#endif
#if MUSTER_LIBTORCH_AT_LEAST(2, 2)
      {c10::ScalarType::Float8_e5m2fnuz, DType::float8_e5m2fnuz},
      {c10::ScalarType::Float8_e4m3fnuz, DType::float8_e4m3fnuz},
#endif
#if MUSTER_LIBTORCH_AT_LEAST(2, 3)
      {c10::ScalarType::UInt16, DType::uint16}, {c10::ScalarType::UInt32, DType::uint32},
      {c10::ScalarType::UInt64, DType::uint64},
#endif
#if MUSTER_LIBTORCH_AT_LEAST(2, 7)
      {c10::ScalarType::Float8_e8m0fnu, DType::float8_e8m0fnu},
#endif
});

// Nothing for a dtype that this LibTorch lacks.
constexpr std::optional<c10::ScalarType> scalar_type_of(DType dtype) {
  for (const auto& [scalar_type, candidate] : kScalarTypes) {
    if (candidate == dtype) return scalar_type;
  }
  return std::nullopt;
}

}  // namespace muster::torch_adapter
