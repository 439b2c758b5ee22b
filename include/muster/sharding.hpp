#pragma once
// Shards as the usual kinds of parallelism cut tensors. Everything here is local and pure.

#include <cstdint>
#include <muster/export.hpp>
#include <muster/state.hpp>
#include <vector>

namespace MUSTER_EXPORT muster {

// The part of [0, size) that part `part` of `parts` gets: equal parts where they come out even, else as torch.chunk and
// FSDP cut: all of ceil(size / parts) but the last ones, of which some may be empty. Throws Error{usage} unless
// 0 <= part < parts.
ElementRange chunk(std::uint64_t size, int part, int parts);

// Cut along one dimension into `parts` chunks: column parallel weights and their biases (`dim` 0 of [out, in]), row
// parallel weights (`dim` 1), embeddings cut along the vocabulary (`dim` 0). Throws Error{usage} where there is no such
// dimension.
Shard split(const Shape& global_shape, std::size_t dim, int part, int parts);

// The same along dimension 0 of several tensors that are fused into one, each cut by itself: {q, k, v} rows of a fused
// attention weight, {gate, up} rows of a fused MLP. The rank's memory has its part of the first, then of the second,
// and so on. Throws Error{usage} where the rows of the fused tensors are not those of the whole.
Shard split_fused(const Shape& global_shape, const std::vector<std::uint64_t>& fused_rows, int part, int parts);

// A chunk of the row-major elements: ZeRO-1 and FSDP-style flat shards.
Shard split_flat(const Shape& global_shape, int part, int parts);

// A chunk of the rows (along dimension 0), as a range of the row-major elements: what to give each rank of a ZeRO-1
// group of a parameter that is itself a block of a global tensor. Such parts are blocks again, so that they lie in the
// file in few ranges; parts that begin and end inside a row are saved in pieces as small as those cuts make them. A
// 0-d tensor belongs to part 0.
ElementRange chunk_of_rows(const Shape& shape, int part, int parts);

// The part of a shard that holds a range of its own elements, counted as they lie in its memory. Throws Error{usage}
// where the shard has fewer.
Shard part_of(const Shape& global_shape, const Shard& shard, const ElementRange& range);

}  // namespace muster
