#pragma once
// Reading what lies on a device: through two buffers in pinned host memory and a stream of its own, so that one piece
// arrives while the one before it is copied out, beside what the program computes.

#include <c10/core/Event.h>
#include <torch/torch.h>

#include <cstdint>
#include <mutex>
#include <optional>

namespace muster::torch_adapter {

// A moment in what the program puts on its current stream of a device, for reads on other streams to wait for. Not for
// devices that know no streams (CPU): nothing happens there. Thread-safe.
class DeviceMoment {
 public:
  explicit DeviceMoment(const torch::Device& device);
  // Now. On the program's thread, as a save begins.
  void note();
  void wait_for_it(const c10::Stream& stream);

 private:
  const torch::Device device_;
  std::mutex mutex_;
  std::optional<c10::Event> event_;
};

struct DeviceReadOptions {
  std::int64_t buffer_bytes = 4 << 20;  // of each of the two buffers
};

// Copies the elements [first, first + to.numel()) of the row-major order to `to`, flat and in host memory; complete on
// return. The values are those at `moment`, if nothing changed the tensor since. On a CPU tensor it does the same
// through unpinned buffers.
void read_from_device(const torch::Tensor& tensor, std::int64_t first, const torch::Tensor& to, DeviceMoment& moment,
                      const DeviceReadOptions& options = {});

}  // namespace muster::torch_adapter
