#pragma once
// The state of a training job as the core sees it: named tensors plus small JSON documents.
// Everything here is local (no MPI, no I/O). Objects are plain values: distinct ones may be used from distinct threads.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <muster/export.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

enum class DType : std::uint8_t {
  float64,
  float32,
  float16,
  bfloat16,
  int8,
  int16,
  int32,
  int64,
  uint8,
  boolean,
  complex64,
  complex128,
  uint16,
  uint32,
  uint64,
  float8_e5m2,      // as IEEE 754 would have it: infinities and NaNs in the largest exponent
  float8_e4m3fn,    // no infinities; NaN is the largest code of either sign
  float8_e5m2fnuz,  // no infinities, no negative zero: its code is the NaN
  float8_e4m3fnuz,  // the same
  float8_e8m0fnu,   // powers of two from 2^-127 to 2^127, and a NaN; no sign and no zero
};

// Bytes of one element: 1, 2, 4, 8 or 16.
std::uint64_t item_bytes(DType dtype);
// "float64", ..., "boolean", ..., "float8_e8m0fnu".
std::string_view name(DType dtype);

// Sizes of the dimensions, outermost first; empty for a 0-d tensor (one element). Any of them may be 0.
using Shape = std::vector<std::uint64_t>;

// Number of elements. Throws Error{usage} when it, or its number of bytes at 16 an element, does not fit 63 bits.
std::uint64_t element_count(const Shape& shape);
// "[2, 3]"; "[]" for a 0-d tensor.
std::string to_string(const Shape& shape);

// A box of elements of a tensor: one entry a dimension.
struct Box {
  Shape offset;
  Shape shape;
  friend bool operator==(const Box&, const Box&) = default;
};

// The part of a global tensor that this rank holds, densely packed and row-major in its memory. sharding.hpp makes the
// usual ones.
class Shard {
 public:
  // All of it: every rank of its tensor, context and data parallel groups holds a replica.
  static Shard whole();
  // Elements [first_element, first_element + count) of the row-major order (ZeRO, FSDP, per-rank rows).
  static Shard flat(std::uint64_t first_element, std::uint64_t count);
  // A box: offset and shape in elements, one entry a dimension of the global shape.
  static Shard block(Shape offset, Shape shape);
  // Several boxes, one behind the other in memory, each row-major: parts of tensors that are fused into one. None may
  // overlap another.
  static Shard blocks(std::vector<Box> boxes);

  enum class Kind : std::uint8_t { whole, flat, block, blocks };
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::uint64_t first_element() const { return first_; }    // flat only
  [[nodiscard]] std::uint64_t count() const { return count_; }            // flat only
  [[nodiscard]] const std::vector<Box>& boxes() const { return boxes_; }  // one of a block, those of blocks, else none

  friend bool operator==(const Shard&, const Shard&) = default;

 private:
  Kind kind_ = Kind::whole;
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
  std::vector<Box> boxes_;
};

// "whole", "elements [0, 8)", "block [0, 4) x [2, 6)" or "blocks [0, 4) x [2, 6) and [8, 12) x [2, 6)".
std::string to_string(const Shard& shard);

// A range [first, first + count) of the row-major elements of a global tensor.
struct ElementRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  friend bool operator==(const ElementRange&, const ElementRange&) = default;
};

// The one range that a shard covers, or nothing where it is blocks, or a block that is not one contiguous range.
// Throws Error{usage} when the shard does not lie inside the shape.
std::optional<ElementRange> contiguous_range(const Shard& shard, const Shape& global_shape);

// What a tensor is, apart from where its bytes lie in memory.
struct TensorDescription {
  std::string path;  // HDF5 path, from object_path()
  DType dtype = DType::float32;
  Shape global_shape;
  Shard shard;
};

// The absolute HDF5 path of an object: object_path({"model", "fc.weight"}) is "/model/fc.weight".
// A key may hold any character. '/', '%' and NUL, which a link name cannot hold, are written as %2F, %25, %00, and
// the key "." as %2E; everything else stays as it is. Throws Error{usage} for an empty key, or one over 4000 bytes as
// written.
std::string object_path(std::initializer_list<std::string_view> keys);
// The keys again.
std::vector<std::string> object_keys(std::string_view path);

// How the core reaches the bytes of a shard, counted from its first byte in row-major order.
// Either `data` points to all of them (host memory, dense), or the functions copy a range: then memory of any other
// kind (a device, a strided view) passes through one bounded buffer of muster's.
// A tensor that lies in the file in other pieces than in memory is copied run by run, down to single elements.
// The functions are called on the thread that called save or load (`read` of a background save with overlap_staging: on
// threads of muster's, in wait_staged() or in the next save_async, never two at a time); what they throw fails the
// phase on all ranks.
struct TensorMemory {
  std::byte* data = nullptr;
  std::function<void(std::uint64_t first_byte, std::span<std::byte> to)> read = {};  // needed to save
  // Called as each save begins, before any `read`: to note what `read` has to wait for, where bytes come from a device.
  std::function<void()> before_save = {};
  std::function<void(std::uint64_t first_byte, std::span<const std::byte> from)> write = {};  // needed to load
};

struct Tensor {
  TensorDescription description;
  TensorMemory memory;
};

// A small JSON value that is saved beside the tensors. The value of rank 0 is saved. If the document of rank 0 has
// `join`, what `join` returns is saved instead: it gets the distinct contributions of all ranks that have a document of
// this path, in the order of the lowest rank of each. Contributions travel when a plan is made; the next saves of the
// same state reuse them.
struct Document {
  std::string path;
  nlohmann::json value;
  std::string contribution = {};
  std::function<nlohmann::json(const std::vector<std::string>& contributions)> join = {};  // local, on rank 0
};

// What a rank holds. References to tensor memory stay the caller's: it must outlive the save or load call (with
// overlap_staging: what SaveHandle::wait_staged() waits for).
class State {
 public:
  // A dense tensor in host memory to be saved. `data` may be null only where the shard has no elements.
  void add(std::string path, DType dtype, Shape global_shape, const void* data, Shard shard = Shard::whole());
  // The same, to be saved from or loaded into.
  void add_mutable(std::string path, DType dtype, Shape global_shape, void* data, Shard shard = Shard::whole());
  void add(Tensor tensor);
  void add(Document document);

  [[nodiscard]] const std::vector<Tensor>& tensors() const { return tensors_; }
  [[nodiscard]] const std::vector<Document>& documents() const { return documents_; }

 private:
  std::vector<Tensor> tensors_;
  std::vector<Document> documents_;
};

}  // namespace muster
