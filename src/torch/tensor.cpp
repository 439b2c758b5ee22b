#include "torch/tensor.hpp"

#include <ATen/MemoryOverlap.h>
#include <fmt/format.h>

#include <utility>

#include "base/narrow.hpp"
#include "torch/copy_elements.hpp"
#include "torch/device_read.hpp"
#include "torch/torch_errors.hpp"

namespace muster {

namespace torch_adapter {

namespace {

// Calls copy(first element, flat tensor over the host memory).
template <class Copy>
void copy_bytes(const torch::Tensor& tensor, std::uint64_t first_byte, std::byte* host, std::uint64_t size,
                Copy&& copy) {
  const auto item = narrow<std::uint64_t>(tensor.element_size());
  if (first_byte % item != 0 || size % item != 0) {
    throw Error(ErrorKind::internal,
                fmt::format("bytes [{}, {}) cut an element of {} bytes", first_byte, first_byte + size, item));
  }
  const torch::NoGradGuard no_grad;
  with_short_errors([&] {
    const auto flat = torch::from_blob(host, {narrow<std::int64_t>(size / item)}, torch::dtype(tensor.scalar_type()));
    std::forward<Copy>(copy)(narrow<std::int64_t>(first_byte / item), flat);
  });
}

// Why the bytes of a tensor cannot be reached; null where they can.
const char* obstacle(const torch::Tensor& tensor) {
  if (!tensor.defined()) return "it is undefined";
  if (tensor.is_nested()) return "it is nested";
  if (tensor.is_quantized()) return "it is quantized";
  if (tensor.layout() != torch::kStrided) return "its layout is not strided (sparse or opaque)";
  if (tensor.is_meta()) return "it lies on the meta device";
  if (!tensor.has_storage()) return "it has no storage";
  // A storage can be emptied under its tensors (resize_(0)), which sharded training does between steps.
  if (tensor.numel() > 0 && tensor.storage().nbytes() == 0) return "its storage is empty";
  return nullptr;
}

bool is_plain_memory(const torch::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg() &&
         !tensor._is_zerotensor();
}

}  // namespace

Shape shape_of(const torch::Tensor& tensor) {
  Shape shape;
  for (const auto size : tensor.sizes()) shape.push_back(narrow<std::uint64_t>(size));
  return shape;
}

bool is_writable(const torch::Tensor& tensor) {
  return !tensor._is_zerotensor() && at::has_internal_overlap(tensor) != at::MemOverlap::Yes;
}

void read_bytes(const torch::Tensor& tensor, std::uint64_t first_byte, std::span<std::byte> to) {
  copy_bytes(tensor, first_byte, to.data(), to.size(), [&](std::int64_t first, const torch::Tensor& flat) {
    copy_elements(tensor, first, flat, Direction::to_host);
  });
}

void read_device_bytes(const torch::Tensor& tensor, DeviceMoment& moment, std::uint64_t first_byte,
                       std::span<std::byte> to) {
  copy_bytes(tensor, first_byte, to.data(), to.size(),
             [&](std::int64_t first, const torch::Tensor& flat) { read_from_device(tensor, first, flat, moment); });
}

void write_bytes(const torch::Tensor& tensor, std::uint64_t first_byte, std::span<const std::byte> from) {
  // from_blob knows no const; the bytes are only read.
  copy_bytes(
      tensor, first_byte, const_cast<std::byte*>(from.data()), from.size(),
      [&](std::int64_t first, const torch::Tensor& flat) { copy_elements(tensor, first, flat, Direction::from_host); });
}

Tensor describe_tensor(std::string path, const torch::Tensor& tensor) {
  if (const char* why = obstacle(tensor)) {
    throw Error(ErrorKind::usage, fmt::format("the tensor {} cannot be saved or loaded: {}", path, why));
  }
  Tensor described{.description = {{.path = std::move(path), .shape = shape_of(tensor)}}, .memory = {}};
  auto& [description, memory] = described;
  try {
    description.dtype = to_dtype(tensor.scalar_type());
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("the tensor {}: {}", description.path, error.what()));
  }
  if (is_plain_memory(tensor)) {
    memory.data = static_cast<std::byte*>(tensor.data_ptr());
    memory.owner = std::make_shared<torch::Tensor>(tensor);
    return described;
  }
  // The functions hold the tensor, but not against a resize of its storage: as with a pointer, that is up to the owner.
  if (tensor.is_cuda()) {
    const auto moment = std::make_shared<DeviceMoment>(tensor.device());
    memory.before_save = [moment] { moment->note(); };
    memory.read = [tensor, moment](std::uint64_t first_byte, std::span<std::byte> to) {
      read_device_bytes(tensor, *moment, first_byte, to);
    };
  } else {
    memory.read = [tensor](std::uint64_t first_byte, std::span<std::byte> to) { read_bytes(tensor, first_byte, to); };
  }
  if (is_writable(tensor)) {
    memory.write = [tensor](std::uint64_t first_byte, std::span<const std::byte> from) {
      write_bytes(tensor, first_byte, from);
    };
  }
  return described;
}

Tensor describe_copy(std::string path, const torch::Tensor& tensor) {
  describe_tensor(path, tensor);  // in the words for the tensor itself where it cannot be saved
  const auto copy = with_short_errors([&] { return tensor.detach().clone(); });
  return describe_tensor(std::move(path), copy);
}

}  // namespace torch_adapter

void add_torch_tensor(State& state, std::string path, const torch::Tensor& tensor) {
  state.add(torch_adapter::describe_tensor(std::move(path), tensor));
}

}  // namespace muster
