#include <fmt/format.h>

#include <muster/torch.hpp>

#include "torch/scalar_types.hpp"

namespace muster {

DType to_dtype(torch::ScalarType type) {
  for (const auto& [scalar_type, dtype] : torch_adapter::kScalarTypes) {
    if (scalar_type == type) return dtype;
  }
  throw Error(ErrorKind::usage, std::string("muster does not save the Torch type ") + c10::toString(type));
}

torch::ScalarType to_scalar_type(DType dtype) {
  if (const auto type = torch_adapter::scalar_type_of(dtype)) return *type;
  throw Error(ErrorKind::usage,
              fmt::format("LibTorch {}, which this muster was built with, has no type for {}; newer ones do",
                          TORCH_VERSION, name(dtype)));
}

}  // namespace muster
