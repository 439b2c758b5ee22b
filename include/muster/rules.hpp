#pragma once
// A table of rules that says how a model's tensors are cut over the ranks of a grid, by their keys: for modules whose
// parameters are this rank's parts of larger tensors. Everything here is local and pure.
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

// One dimension cut into chunks (see chunk() in sharding.hpp) over one axis of the grid.
struct DimensionCut {
  std::size_t dim = 0;
  Axis axis = Axis::tensor;
  // Size of the dimension in the global tensor; 0: the degree of the axis times the local size. Needed where it does
  // not divide evenly.
  std::uint64_t global_size = 0;
  // Tensors that are fused along this dimension, each cut by itself: so many of equal size, or their global sizes.
  std::uint64_t fused = 1;
  std::vector<std::uint64_t> fused_sizes = {};
  friend bool operator==(const DimensionCut&, const DimensionCut&) = default;
};

struct ShardingRule {
  // The keys that it is for, as fnmatch(3) matches them: '*' stands for any characters, dots too.
  std::string keys;
  // None: every rank holds the tensor whole. A tensor without such a dimension is not cut along it.
  std::vector<DimensionCut> cuts = {};
  friend bool operator==(const ShardingRule&, const ShardingRule&) = default;
};

ShardingRule replicated(std::string keys);
// The weight [out, in] and the bias [out] of a layer whose outputs are cut: dimension 0 over the tensor axis.
ShardingRule column_parallel(std::string keys);
// The weight [out, in] of a layer whose inputs are cut: dimension 1 over the tensor axis. Its bias is whole.
ShardingRule row_parallel(std::string keys);
// Embeddings and output layers cut along the vocabulary: dimension 0 over the tensor axis. `vocabulary`: its size where
// it does not divide evenly and is not padded; else 0.
ShardingRule vocabulary_parallel(std::string keys, std::uint64_t vocabulary = 0);
// Column parallel layers of several tensors in one, each cut by itself: 3 of equal size for {q, k, v}, 2 for
// {gate, up}; or their numbers of rows in the global tensor, for grouped queries.
ShardingRule fused_column_parallel(std::string keys, std::uint64_t fused);
ShardingRule fused_column_parallel(std::string keys, std::vector<std::uint64_t> fused_sizes);
// Experts stacked along dimension 0, cut over the expert axis.
ShardingRule expert_parallel(std::string keys);
// The same of experts that are cut over the tensor axis, too: [experts, out, in] along out, or along in.
ShardingRule expert_column_parallel(std::string keys);
ShardingRule expert_row_parallel(std::string keys);

// A rule as text, for command lines: "KEYS=KIND" with KIND one of replicated, column, row, vocabulary, vocabulary:SIZE,
// fused:NUMBER, fused:SIZE,SIZE,..., expert, expert-column, expert-row. Throws Error{usage} for anything else.
ShardingRule parse_rule(std::string_view text);

// Where a rank's part lies in the global tensor.
struct Placement {
  Shape global_shape;
  Shard shard;
  friend bool operator==(const Placement&, const Placement&) = default;
};

// Of a tensor of which this rank has local_shape: by the first rule whose pattern matches the key, whole where none
// does. Throws Error{usage} that names the key where the local shape cannot be what the rule says.
Placement placement_of(const std::vector<ShardingRule>& rules, std::string_view key, const Shape& local_shape,
                       const ParallelGrid& grid, int rank);

// The part that a rank of a grid has of a global tensor by these rules. Throws Error{usage} as above.
Shard shard_of(const std::vector<ShardingRule>& rules, std::string_view key, const Shape& global_shape,
               const ParallelGrid& grid, int rank);

}  // namespace muster
