#include "train/gpt_parts.hpp"

#include <fmt/format.h>
#include <mpi.h>

#include <charconv>
#include <muster/error.hpp>
#include <muster/sharding.hpp>
#include <span>
#include <string_view>

#include "base/narrow.hpp"
#include "train/collectives.hpp"

namespace muster::train {
namespace {

constexpr std::string_view kBlocks = "blocks.";

// Rank 0's weights on all ranks: one seed need not give the same bits on processors of different kinds.
void broadcast_parameters(const mpi::CommView& comm, const std::vector<torch::Tensor>& parameters) {
  for (const auto& parameter : parameters) {
    const auto values = std::span(parameter.data_ptr<float>(), narrow<std::size_t>(parameter.numel()));
    comm.broadcast(std::as_writable_bytes(values), 0);
  }
}

// The elements of a shard as they lie in a rank's memory, in one dimension.
torch::Tensor elements_of(const torch::Tensor& whole, const Shard& shard) {
  if (shard.kind() == Shard::Kind::whole) return whole.flatten();
  std::vector<torch::Tensor> pieces;
  for (const auto& [offset, shape] : shard.boxes()) {
    auto piece = whole;
    for (std::size_t dim = 0; dim < shape.size(); ++dim) {
      piece =
          piece.narrow(narrow<std::int64_t>(dim), narrow<std::int64_t>(offset[dim]), narrow<std::int64_t>(shape[dim]));
    }
    pieces.push_back(piece.flatten());
  }
  return torch::cat(pieces);
}

// For a model that no other rank has a part of; lives as long as any model.
const mpi::CommView& alone(double timeout_s) {
  static const mpi::CommView self(MPI_COMM_SELF, timeout_s);
  return self;
}

Shape shape_of(const torch::Tensor& tensor) { return {tensor.sizes().begin(), tensor.sizes().end()}; }

}  // namespace

void require_cuttable(const GptShape& shape, const Grid& grid) {
  const auto reject = [](const std::string& message) { throw Error(ErrorKind::usage, message); };
  if (shape.heads % grid.tensor != 0) {
    reject(fmt::format("--tp is {}, and must divide --heads, {}", grid.tensor, shape.heads));
  }
  const auto last = chunk(narrow<std::uint64_t>(kByteValues), grid.tensor - 1, grid.tensor);
  if (last.count == 0) {
    reject(fmt::format("--tp is {}, which leaves a rank none of the {} byte values", grid.tensor, kByteValues));
  }
  if (shape.layers < grid.pipeline) {
    reject(fmt::format("--pp is {}, and --layers {}: every stage needs a layer", grid.pipeline, shape.layers));
  }
}

GptStage stage_of(const GptShape& shape, int stage, int stages) {
  const auto first = shape.layers * stage / stages;
  return {.first_layer = first,
          .layers = shape.layers * (stage + std::int64_t{1}) / stages - first,
          .is_first = stage == 0,
          .is_last = stage == stages - 1};
}

std::vector<ShardingRule> sharding_rules() {
  const auto vocabulary = narrow<std::uint64_t>(kByteValues);
  return {vocabulary_parallel("byte_embedding.weight", vocabulary),
          fused_column_parallel("*.qkv.*", 3),
          row_parallel("*.projection.*"),
          column_parallel("*.widen.*"),
          row_parallel("*.narrow.*"),
          vocabulary_parallel("head.weight", vocabulary)};
}

std::function<std::string(const std::string&)> global_key(const GptStage& stage) {
  return [first = stage.first_layer](const std::string& key) {
    if (!key.starts_with(kBlocks)) return key;
    std::int64_t layer = 0;
    const auto* end = key.data() + key.size();
    const auto rest = std::from_chars(key.data() + kBlocks.size(), end, layer).ptr;
    return fmt::format("{}{}{}", kBlocks, first + layer, std::string_view(rest, end));
  };
}

Gpt draw_model(const mpi::CommView& comm, const GptShape& shape, std::uint64_t seed) {
  Gpt whole{nullptr};
  together(comm, [&] {
    torch::manual_seed(seed);
    whole = Gpt(shape, stage_of(shape, 0, 1), alone(comm.timeout_s()));
  });
  broadcast_parameters(comm, whole->parameters());
  return whole;
}

Gpt part_of_model(const Gpt& whole, const GptShape& shape, const Ranks& ranks) {
  if (ranks.model_is_whole()) return whole;
  const torch::NoGradGuard no_gradients;
  const auto stage = stage_of(shape, ranks.pipeline().rank(), ranks.pipeline().size());
  Gpt part(shape, stage, ranks.tensor());
  const auto key_of = global_key(stage);
  const auto rules = sharding_rules();
  const auto whole_parameters = whole->named_parameters();
  for (auto& parameter : part->named_parameters()) {
    const auto key = key_of(parameter.key());
    const auto& values = whole_parameters[key];
    const auto shard = shard_of(rules, key, shape_of(values), ranks.grid(), ranks.world().rank());
    parameter.value().copy_(elements_of(values, shard).view(parameter.value().sizes()));
  }
  return part;
}

}  // namespace muster::train
