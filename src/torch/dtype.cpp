#include <array>
#include <muster/torch.hpp>
#include <utility>

namespace muster {

namespace {

constexpr std::array<std::pair<torch::ScalarType, DType>, 12> kTypes{{
    {torch::kFloat64, DType::float64},
    {torch::kFloat32, DType::float32},
    {torch::kFloat16, DType::float16},
    {torch::kBFloat16, DType::bfloat16},
    {torch::kInt8, DType::int8},
    {torch::kInt16, DType::int16},
    {torch::kInt32, DType::int32},
    {torch::kInt64, DType::int64},
    {torch::kUInt8, DType::uint8},
    {torch::kBool, DType::boolean},
    {torch::kComplexFloat, DType::complex64},
    {torch::kComplexDouble, DType::complex128},
}};

}  // namespace

DType to_dtype(torch::ScalarType type) {
  for (const auto& [scalar_type, dtype] : kTypes) {
    if (scalar_type == type) return dtype;
  }
  throw Error(ErrorKind::usage, std::string("muster does not save the Torch type ") + c10::toString(type));
}

torch::ScalarType to_scalar_type(DType dtype) {
  for (const auto& [scalar_type, candidate] : kTypes) {
    if (candidate == dtype) return scalar_type;
  }
  throw Error(ErrorKind::internal, "a dtype without a Torch type");
}

}  // namespace muster
