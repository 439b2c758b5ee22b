#pragma once
// The state of a training job, independent of any framework: named tensors and JSON documents.
// All functions are local. They call neither MPI nor the file system. Objects are values, and several threads may use
// different objects at the same time.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <muster/export.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

// The type of the elements of a tensor.
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
  float8_e5m2,      // the largest exponent means infinity or NaN, as in IEEE 754
  float8_e4m3fn,    // no infinities; the largest code of each sign is NaN
  float8_e5m2fnuz,  // no infinities, no negative zero; the code of negative zero is NaN
  float8_e4m3fnuz,  // the same as float8_e5m2fnuz
  float8_e8m0fnu,   // powers of two from 2^-127 to 2^127, and NaN; no sign and no zero
  text,             // a byte of a text in UTF-8; a tensor of it has one dimension and is one string in the file
};

// Returns the size of one element in bytes: 1, 2, 4, 8 or 16.
std::uint64_t item_bytes(DType dtype);
// Returns the name of the enumerator, for example "float64".
std::string_view name(DType dtype);

// The sizes of the dimensions, outermost first. Each may be 0. An empty shape is a 0-d tensor, which has one element.
using Shape = std::vector<std::uint64_t>;

// Returns the number of elements. Throws Error{usage} if it exceeds 2^59, which is 2^63 bytes at 16 bytes per element.
std::uint64_t element_count(const Shape& shape);
// Returns a text such as "[2, 3]". It is "[]" for a 0-d tensor.
std::string to_string(const Shape& shape);

// A box of elements of a tensor. Both members have one entry for each dimension of the tensor.
struct Box {
  Shape offset;
  Shape shape;
  friend bool operator==(const Box&, const Box&) = default;
};

// The part of a global tensor that this rank holds. It lies dense and row-major in the memory of the rank. sharding.hpp
// makes the usual shards. Each save and load checks that the shard is inside its tensor.
class Shard {
 public:
  // The whole tensor. Every rank of the tensor, context and data parallel groups of this rank holds a replica.
  static Shard whole();
  // The elements [first_element, first_element + count) in row-major order (ZeRO, FSDP, one row for each rank).
  static Shard flat(std::uint64_t first_element, std::uint64_t count);
  // One box. `offset` and `shape` are in elements, with one entry for each dimension of the global shape.
  static Shard block(Shape offset, Shape shape);
  // Several boxes that do not overlap, for tensors that are fused into one. Each box is row-major in memory, and the
  // boxes follow each other in the order of the list.
  static Shard blocks(std::vector<Box> boxes);

  enum class Kind : std::uint8_t { whole, flat, block, blocks };
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::uint64_t first_element() const { return first_; }    // flat only
  [[nodiscard]] std::uint64_t count() const { return count_; }            // flat only
  [[nodiscard]] const std::vector<Box>& boxes() const { return boxes_; }  // block and blocks only; else empty

  friend bool operator==(const Shard&, const Shard&) = default;

 private:
  Kind kind_ = Kind::whole;
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
  std::vector<Box> boxes_;
};

// Returns a text such as "whole", "elements [0, 8)", "block [0, 4) x [2, 6)" or
// "blocks [0, 4) x [2, 6) and [8, 12) x [2, 6)".
std::string to_string(const Shard& shard);

// The range [first, first + count) of the row-major elements of a tensor.
struct ElementRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  friend bool operator==(const ElementRange&, const ElementRange&) = default;
};

// Returns the range that a shard consists of. Returns nothing for `blocks` and for a block that is not one range.
// Throws Error{usage} if the shard does not lie inside the shape or its boxes overlap.
std::optional<ElementRange> contiguous_range(const Shard& shard, const Shape& global_shape);

// A global tensor, whichever ranks hold parts of it.
struct TensorDescription {
  std::string path;  // the HDF5 path, made by object_path()
  DType dtype = DType::float32;
  Shape shape = {};
};

// A global tensor and the part of it that one rank holds.
struct ShardDescription : TensorDescription {
  Shard shard = Shard::whole();
};

// Returns the absolute HDF5 path of an object: object_path({"model", "fc.weight"}) is "/model/fc.weight".
// A key may contain any character. The characters '/', '%' and NUL are written as %2F, %25 and %00, and the key "." is
// written as %2E. Throws Error{usage} if there is no key, if a key is empty, or if a key has more than 4000 bytes as
// written.
std::string object_path(std::initializer_list<std::string_view> keys);
// Returns the keys of a path that object_path() made.
std::vector<std::string> object_keys(std::string_view path);

// The access to the bytes of a shard. `first_byte` counts from the first byte of the shard in row-major order.
// `data` points to all bytes, dense in host memory. If it is null, `read` and `write` copy ranges of the bytes through
// one buffer of bounded size, for example for a device or a strided view. If the byte ranges of the tensor in the file
// differ from those in memory, each range is copied separately, down to a single element.
// The functions run on these threads:
// * In a load, a synchronous save and a background save without overlap_staging: the thread that called load or save.
// * `read` in a background save with overlap_staging: threads of muster, and threads in wait_staged() or in the next
//   save_async. Two calls of `read` never run at the same time.
// An exception of a function fails the phase on all ranks.
struct TensorMemory {
  std::byte* data = nullptr;
  std::function<void(std::uint64_t first_byte, std::span<std::byte> to)> read = {};  // needed for saves
  // Called on the thread that called save, at the start of each save and before any `read`. It can record the work of a
  // device that `read` must wait for.
  std::function<void()> before_save = {};
  std::function<void(std::uint64_t first_byte, std::span<const std::byte> from)> write = {};  // needed for loads
  // What keeps `data` valid, for memory that only the State refers to. Null: the memory outlives the call. Default:
  // null.
  std::shared_ptr<const void> owner = {};
};

// A tensor of a State: its description and the access to the bytes of this rank's shard.
struct Tensor {
  ShardDescription description;
  TensorMemory memory;
};

// A small JSON value that is saved with the tensors. The value of rank 0 is saved. If the document of rank 0 has `join`
// and any rank has a contribution, the result of `join` is saved instead. `join` gets the distinct contributions of all
// ranks to this path without empty ones, in the order of the lowest rank of each. The ranks exchange contributions when
// they make a plan, and the next saves of the same state reuse them. If ranks contribute to a path of which rank 0 has
// no document, the save fails with CollectiveError{mismatch} on all ranks.
struct Document {
  std::string path;
  nlohmann::json value;
  std::string contribution = {};
  std::function<nlohmann::json(const std::vector<std::string>& contributions)> join = {};  // local; called on rank 0
};

// The tensors and documents of one rank. A State refers to tensor memory and does not own it. The memory must outlive
// the call of save or load. With overlap_staging it must exist until SaveHandle::wait_staged() returns. The functions
// check nothing. A save or load reports wrong paths, shapes and shards.
class State {
 public:
  // Adds a dense tensor in host memory for saves. `global_shape` is in elements. `data` may be null only if the shard
  // has no elements.
  void add(std::string path, DType dtype, Shape global_shape, const void* data, Shard shard = Shard::whole());
  // Adds a dense tensor in host memory for saves and loads.
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
