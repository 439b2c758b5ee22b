#pragma once
// The shards that the usual kinds of parallelism make of a tensor.
// All functions are local and have no side effects. Several threads may call them at the same time.
// Every function with an argument `part` throws Error{usage} unless 0 <= part < parts.

#include <cstdint>
#include <muster/export.hpp>
#include <muster/state.hpp>
#include <vector>

namespace MUSTER_EXPORT muster {

// Returns the range of [0, size) that part `part` of `parts` has. Every part has ceil(size / parts) elements, except
// that the last parts may be smaller or empty. This is the formula of torch.chunk and FSDP.
ElementRange chunk(std::uint64_t size, int part, int parts);

// Cuts dimension `dim` into `parts` chunks and returns the block of part `part`. `dim` is 0 for column parallel weights
// [out, in], their biases and embeddings that are cut along the vocabulary. It is 1 for row parallel weights.
// Throws Error{usage} if the shape has no such dimension.
Shard split(const Shape& global_shape, std::size_t dim, int part, int parts);

// Cuts a tensor that consists of several tensors fused along dimension 0, and cuts each of them separately. Examples
// are the {q, k, v} rows of an attention weight and the {gate, up} rows of an MLP. `fused_rows` are their numbers of
// rows. The memory of the rank contains its chunk of the first tensor, then its chunk of the second, and so on. Throws
// Error{usage} if the sum of `fused_rows` is not the size of dimension 0.
Shard split_fused(const Shape& global_shape, const std::vector<std::uint64_t>& fused_rows, int part, int parts);

// Returns the chunk of part `part` of the row-major elements, as a flat shard (ZeRO-1, FSDP).
Shard split_flat(const Shape& global_shape, int part, int parts);

// Returns the chunk of part `part` of the rows (dimension 0), as a range of the row-major elements. It is for the ranks
// of a ZeRO-1 group whose parameter is itself a block of a global tensor. A range of whole rows of a block is a block,
// which has few byte ranges in the file. A range that begins or ends inside a row leads to small byte ranges. A 0-d
// tensor belongs to part 0.
ElementRange chunk_of_rows(const Shape& shape, int part, int parts);

// Returns the shard that consists of the elements `range` of `shard`, counted in the order of its memory.
// Throws Error{usage} if `shard` has fewer elements or does not lie inside the shape.
Shard part_of(const Shape& global_shape, const Shard& shard, const ElementRange& range);

}  // namespace muster
