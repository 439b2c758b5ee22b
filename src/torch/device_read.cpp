#include "torch/device_read.hpp"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <thread>

#include "torch/copy_elements.hpp"

namespace muster::torch_adapter {

namespace {

bool has_streams(const torch::Device& device) { return device.is_cuda(); }  // HIP calls itself so too

// One of the two buffers, and the elements that are on their way into it.
class Buffer {
 public:
  Buffer(const torch::Tensor& like, std::int64_t elements, bool pinned)
      : memory_(torch::empty({elements}, torch::dtype(like.scalar_type()).pinned_memory(pinned))) {
    if (pinned) arrived_.emplace(like.device().type());
  }

  void begin(const torch::Tensor& tensor, std::int64_t first, const torch::Tensor& to, const c10::Stream* stream) {
    to_ = to;
    // What Torch still has to do to the values on the host it does at once, before they have arrived.
    const bool arrives_as_it_is = !tensor.is_conj() && !tensor.is_neg();
    copy_elements(tensor, first, memory_.narrow(0, 0, to.numel()), Direction::to_host, arrived_ && arrives_as_it_is);
    if (arrived_) arrived_->record(*stream);
  }

  // Waits for what began last, and hands it on.
  void end() {
    if (!to_.defined()) return;
    while (arrived_ && !arrived_->query()) std::this_thread::yield();
    to_.copy_(memory_.narrow(0, 0, to_.numel()));
    to_ = torch::Tensor();
  }

 private:
  torch::Tensor memory_;
  std::optional<c10::Event> arrived_;
  torch::Tensor to_;
};

}  // namespace

DeviceMoment::DeviceMoment(const torch::Device& device) : device_(device) {
  if (has_streams(device)) event_.emplace(device.type());
}

void DeviceMoment::note() {
  if (!event_) return;
  const c10::impl::VirtualGuardImpl guard(device_.type());
  const std::lock_guard lock(mutex_);
  event_->record(guard.getStream(device_));
}

void DeviceMoment::wait_for_it(const c10::Stream& stream) {
  if (!event_) return;
  const std::lock_guard lock(mutex_);
  event_->block(stream);
}

void read_from_device(const torch::Tensor& tensor, std::int64_t first, const torch::Tensor& to, DeviceMoment& moment,
                      const DeviceReadOptions& options) {
  const bool pinned = has_streams(tensor.device());
  std::optional<c10::Stream> stream;
  c10::OptionalStreamGuard on_stream;
  if (pinned) {
    const c10::impl::VirtualGuardImpl guard(tensor.device().type());
    stream = guard.getStreamFromGlobalPool(tensor.device());
    moment.wait_for_it(*stream);
    on_stream.reset_stream(*stream);
  }
  const auto most = std::max<std::int64_t>(options.buffer_bytes / tensor.element_size(), 1);
  const auto elements = std::min(most, to.numel());
  std::array<Buffer, 2> buffers{Buffer(tensor, elements, pinned), Buffer(tensor, elements, pinned)};
  std::size_t turn = 0;
  for (std::int64_t done = 0; done < to.numel(); done += elements, turn = 1 - turn) {
    auto& buffer = buffers.at(turn);
    buffer.end();
    const auto piece = to.narrow(0, done, std::min(elements, to.numel() - done));
    buffer.begin(tensor, first + done, piece, stream ? &*stream : nullptr);
  }
  buffers.at(turn).end();
  buffers.at(1 - turn).end();
}

}  // namespace muster::torch_adapter
