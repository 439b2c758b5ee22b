#pragma once
// Copies between a range of a tensor, whatever its strides and its device, and a flat tensor in host memory.

#include <torch/torch.h>

#include <cstdint>

namespace muster::torch_adapter {

enum class Direction : std::uint8_t { to_host, from_host };

// The elements [first, first + host.numel()) of the row-major order. non_blocking as in Tensor::copy_: where `host` is
// pinned the copy may still be under way on the current stream of the tensor's device.
void copy_elements(const torch::Tensor& tensor, std::int64_t first, const torch::Tensor& host, Direction direction,
                   bool non_blocking = false);

}  // namespace muster::torch_adapter
