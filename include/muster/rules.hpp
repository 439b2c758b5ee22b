#pragma once
// Rules that state by key how the tensors of a model are cut over the ranks of a grid. They are for modules whose
// parameters are the shards of one rank. All functions are local and have no side effects. Several threads may call
// them at the same time.
//
//   const std::vector<ShardingRule> rules = {
//       vocabulary_parallel("embedding.weight", 50257), fused_column_parallel("*.qkv.*", 3),
//       row_parallel("*.projection.*"),                 column_parallel("*.widen.*")};

#include <cstdint>
#include <muster/export.hpp>
#include <muster/grid.hpp>
#include <muster/state.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

// A cut of one dimension into the chunks of chunk() in sharding.hpp, over one axis of the grid.
struct DimensionCut {
  // The number of the dimension, outermost first. Default: 0.
  std::size_t dim = 0;
  // The axis whose ranks hold the chunks. Default: Axis::tensor.
  Axis axis = Axis::tensor;
  // The size of the dimension in the global tensor. 0: the degree of the axis times the local size, which is right only
  // if the degree divides the size. Default: 0.
  std::uint64_t global_size = 0;
  // The number of tensors of equal size that are fused along this dimension. Each is cut separately. A number other
  // than 1 requires `dim` 0, and 0 is Error{usage}. Default: 1.
  std::uint64_t fused = 1;
  // The global sizes of the tensors that are fused along this dimension. They require `dim` 0 and replace `fused`.
  // Empty: `fused` applies. Default: empty.
  std::vector<std::uint64_t> fused_sizes = {};
  friend bool operator==(const DimensionCut&, const DimensionCut&) = default;
};

// The cuts of all tensors whose key matches a pattern.
struct ShardingRule {
  // The pattern, as in fnmatch(3) without flags: '*' matches any characters, including dots.
  std::string keys;
  // The cuts, at most one for each dimension. A tensor without the dimension of a cut is not cut along it. Empty: every
  // rank holds the whole tensor. Default: empty.
  std::vector<DimensionCut> cuts = {};
  friend bool operator==(const ShardingRule&, const ShardingRule&) = default;
};

// Every rank holds the whole tensor.
ShardingRule replicated(std::string keys);
// Cuts dimension 0 over the tensor axis: the weight [out, in] and the bias [out] of a layer whose outputs are cut.
ShardingRule column_parallel(std::string keys);
// Cuts dimension 1 over the tensor axis: the weight [out, in] of a layer whose inputs are cut. Its bias [out] is whole.
ShardingRule row_parallel(std::string keys);
// Cuts dimension 0 over the tensor axis: embeddings and output layers that are cut along the vocabulary. `vocabulary`
// is the size of the vocabulary. 0: the degree of the axis times the local size, for a vocabulary that divides evenly
// or is padded. Default: 0.
ShardingRule vocabulary_parallel(std::string keys, std::uint64_t vocabulary = 0);
// Cuts several tensors that are fused along dimension 0 of a column parallel layer. Each is cut separately over the
// tensor axis. `fused` is their number if they have equal sizes: 3 for {q, k, v}, 2 for {gate, up}. `fused_sizes` are
// their numbers of rows in the global tensor, for example for grouped queries.
ShardingRule fused_column_parallel(std::string keys, std::uint64_t fused);
ShardingRule fused_column_parallel(std::string keys, std::vector<std::uint64_t> fused_sizes);
// Cuts dimension 0, along which experts are stacked, over the expert axis.
ShardingRule expert_parallel(std::string keys);
// These two also cut the experts over the tensor axis. The tensor is [experts, out, in]. The first cuts `out`, and the
// second cuts `in`.
ShardingRule expert_column_parallel(std::string keys);
ShardingRule expert_row_parallel(std::string keys);

// Returns the rule of a text "KEYS=KIND", for command lines. KIND is one of replicated, column, row, vocabulary,
// vocabulary:SIZE, fused:NUMBER, fused:SIZE,SIZE,..., expert, expert-column and expert-row. Throws Error{usage} for any
// other text.
ShardingRule parse_rule(std::string_view text);

// The position of a rank's shard in the global tensor.
struct Placement {
  Shape global_shape;
  Shard shard;
  friend bool operator==(const Placement&, const Placement&) = default;
};

// Returns the placement of a tensor of which `rank` of `grid` holds a shard of `local_shape`. The first rule whose
// pattern matches the key applies. If no pattern matches, the tensor is whole. Throws Error{usage}, which names the
// key, if the rule is not valid or the local shape contradicts it.
Placement placement_of(const std::vector<ShardingRule>& rules, std::string_view key, const Shape& local_shape,
                       const ParallelGrid& grid, int rank);

// Returns the shard that `rank` of `grid` holds of a tensor of `global_shape` by the same rules. Throws Error{usage},
// which names the key, if the rule is not valid or the global shape contradicts it.
Shard shard_of(const std::vector<ShardingRule>& rules, std::string_view key, const Shape& global_shape,
               const ParallelGrid& grid, int rank);

}  // namespace muster
