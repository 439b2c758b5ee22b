#pragma once
// Reading what lies on a device: through two buffers in pinned host memory and a stream of its own, so that one piece
// arrives while the one before it is copied out, beside what the program computes.

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace muster::torch_adapter {

// What the program has put on the tensor's device up to now, and on its current stream there; a read waits for it.
class DeviceMoment {
 public:
  // Nothing to wait for where the device knows no streams (CPU).
  explicit DeviceMoment(const torch::Device& device);
  void wait_for_it(const c10::Stream& stream) const;

 private:
  std::shared_ptr<c10::Event> event_;
};

struct DeviceReadOptions {
  std::int64_t buffer_bytes = 4 << 20;  // of each of the two buffers
};

// Copies the elements [first, first + to.numel()) of the row-major order to `to`, flat and in host memory; complete on
// return. The values are those at `moment`, if nothing changed the tensor since. On a CPU tensor it does the same
// through unpinned buffers.
void read_from_device(const torch::Tensor& tensor, std::int64_t first, const torch::Tensor& to,
                      const DeviceMoment& moment, const DeviceReadOptions& options = {});

}  // namespace muster::torch_adapter
