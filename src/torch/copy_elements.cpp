#include "torch/copy_elements.hpp"

#include <algorithm>

namespace muster::torch_adapter {

namespace {

void copy_all(const torch::Tensor& part, const torch::Tensor& host, Direction direction, bool non_blocking) {
  const auto shaped = host.view(part.sizes());
  if (direction == Direction::to_host) {
    shaped.copy_(part, non_blocking);
  } else {
    part.copy_(shaped, non_blocking);
  }
}

}  // namespace

// The end of a first row, whole rows in one go, the beginning of a last row; rows are cut the same way.
void copy_elements(const torch::Tensor& tensor, std::int64_t first, const torch::Tensor& host, Direction direction,
                   bool non_blocking) {
  const std::int64_t count = host.numel();
  if (count == 0) return;
  if (count == tensor.numel()) return copy_all(tensor, host, direction, non_blocking);
  const std::int64_t row = tensor.numel() / tensor.size(0);
  std::int64_t done = 0;
  while (done < count) {
    const std::int64_t index = (first + done) / row;
    const std::int64_t begin = (first + done) % row;
    const std::int64_t rows = begin == 0 ? (count - done) / row : 0;
    const std::int64_t size = rows > 0 ? rows * row : std::min(row - begin, count - done);
    const auto piece = host.narrow(0, done, size);
    if (rows > 0) {
      copy_all(tensor.narrow(0, index, rows), piece, direction, non_blocking);
    } else {
      copy_elements(tensor.select(0, index), begin, piece, direction, non_blocking);
    }
    done += size;
  }
}

}  // namespace muster::torch_adapter
