#pragma once
// Torch tensors as the core sees them: ranges of row-major bytes.

#include <muster/torch.hpp>
#include <span>
#include <string>

#include "torch/device_read.hpp"

namespace muster::torch_adapter {

Shape shape_of(const torch::Tensor& tensor);

// False where several elements share memory (expanded tensors): nothing can be loaded into such a tensor.
bool is_writable(const torch::Tensor& tensor);

// The tensor as the state of a save or the target of a load has it. Throws Error{usage} for one whose bytes cannot be
// reached, and for a dtype that muster does not know.
Tensor describe_tensor(std::string path, const torch::Tensor& tensor);

// The tensor with the values that it has now, to be saved: the description keeps a copy.
Tensor describe_copy(std::string path, const torch::Tensor& tensor);

// Copy the bytes from `first_byte` of the row-major order on, whatever the strides and the device, without a copy of
// the whole tensor. Both ends of the range must lie between two elements.
void read_bytes(const torch::Tensor& tensor, std::uint64_t first_byte, std::span<std::byte> to);
// The same from a device with streams, through pinned memory; `moment`: when the values were as they are to be read.
void read_device_bytes(const torch::Tensor& tensor, DeviceMoment& moment, std::uint64_t first_byte,
                       std::span<std::byte> to);
void write_bytes(const torch::Tensor& tensor, std::uint64_t first_byte, std::span<const std::byte> from);

}  // namespace muster::torch_adapter
