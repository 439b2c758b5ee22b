#pragma once
// In which order the elements of a tensor lie in the file.

#include <cstdint>
#include <functional>
#include <muster/state.hpp>
#include <optional>
#include <vector>

#include "model/shard_boxes.hpp"

namespace muster {

// Elements that follow each other in the file as well as in a box that is packed row-major.
struct StorageRun {
  std::uint64_t in_file = 0;  // counted from the tensor's first element there
  std::uint64_t in_box = 0;
  std::uint64_t count = 0;
  friend bool operator==(const StorageRun&, const StorageRun&) = default;
};

// Chunk by chunk, in row-major order of the chunks, each of them row-major inside. One chunk as large as the tensor is
// the plain row-major order (HDF5: contiguous); smaller ones are HDF5's chunks as it lays them out where they are
// allocated early and without filters (HDF5 file format specification, "Implicit" chunk index). A chunk that sticks out
// beyond the tensor has its full size in the file: the elements outside are padding, of no value.
class StorageOrder {
 public:
  explicit StorageOrder(const Shape& shape) : StorageOrder(shape, shape) {}
  // An empty chunk: row-major. Throws Error{usage} where the chunk has another number of dimensions, or one of size 0
  // in a tensor with elements.
  StorageOrder(Shape shape, Shape chunk_shape);

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] const Shape& chunk_shape() const { return chunk_shape_; }
  [[nodiscard]] bool is_row_major() const { return chunk_shape_ == shape_; }
  [[nodiscard]] std::uint64_t chunk_elements() const { return chunk_elements_; }
  // Room in the file, padding and all.
  [[nodiscard]] std::uint64_t elements() const { return elements_; }

  // Calls `visit` for every run of the box that lies in this range of the file, whole or cut to it; none can be joined
  // with the next. In file order; takes time for what lies in the range alone. The box lies inside the tensor.
  using Visit = std::function<void(const StorageRun&)>;
  void visit_runs(const Box& box, const ElementRange& in_file, const Visit& visit) const;
  // The first of them, if there is any; takes no time for those behind it.
  [[nodiscard]] std::optional<StorageRun> first_run(const Box& box, const ElementRange& in_file) const;

  // The chunk that an element of the file lies in, as far as it lies inside the tensor.
  [[nodiscard]] Box chunk_at(std::uint64_t in_file) const;

  // The parts of the file, in order, that hold this box and nothing else but padding. The box consists of whole chunks,
  // but for the tensor's far edges; throws Error{internal} otherwise.
  [[nodiscard]] std::vector<ElementRange> ranges_of(const Box& box) const;

 private:
  template <class VisitUntil>
  class Walk;

  Shape shape_;
  Shape chunk_shape_;
  Shape chunks_;  // in each dimension
  std::uint64_t chunk_elements_ = 1;
  std::uint64_t elements_ = 0;
};

// Bytes of a tensor in the file, padding and all. An empty chunk: row-major.
std::uint64_t storage_bytes(DType dtype, const Shape& shape, const Shape& chunk);

}  // namespace muster
