#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <span>

namespace muster::train {

// The memory of a dense tensor on the CPU; valid while the tensor is.
inline std::span<std::byte> bytes_of(const torch::Tensor& dense) {
  return {static_cast<std::byte*>(dense.data_ptr()), dense.nbytes()};
}

}  // namespace muster::train
