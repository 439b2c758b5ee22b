#include "bench/simulated_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <numeric>
#include <unordered_map>

#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "plan/portions.hpp"

namespace muster::bench {

namespace {

// Those of LLaMA 3 70B.
constexpr std::uint64_t kHidden = 8192;
constexpr std::uint64_t kHiddenOfKeys = 1024;
constexpr std::uint64_t kHiddenOfMlp = 28672;
constexpr std::uint64_t kVocabulary = 128256;
constexpr std::uint64_t kTensorsOfALayer = 9;

constexpr const char* kMoments[] = {"exp_avg", "exp_avg_sq"};

}  // namespace

SimulatedJob::SimulatedJob(const PlanScaleOptions& options)
    : ranks_(options.ranks),
      tensor_parallel_(options.tensor_parallel),
      pipeline_(options.pipeline),
      data_(options.data),
      zero1_(options.zero1) {
  const auto refuse = [](const std::string& why) { throw Error(ErrorKind::usage, why); };
  if (ranks_ < 1 || tensor_parallel_ < 1 || pipeline_ < 1 || data_ < 0) refuse("a number of ranks below 1");
  const auto of_a_replica = std::int64_t{tensor_parallel_} * pipeline_;
  if (data_ == 0) data_ = narrow<int>(ranks_ / of_a_replica);
  if (of_a_replica * data_ != ranks_) {
    refuse(fmt::format("{} ranks are not a grid of {} x {} x {}", ranks_, tensor_parallel_, pipeline_, data_));
  }
  if (kHiddenOfKeys % static_cast<std::uint64_t>(tensor_parallel_) != 0 ||
      kVocabulary % static_cast<std::uint64_t>(tensor_parallel_) != 0) {
    refuse(fmt::format("the model is not to be cut among {} tensor-parallel ranks", tensor_parallel_));
  }
  add_layers(options.tensors);
}

void SimulatedJob::add_layers(std::uint64_t tensors) {
  const auto layers = std::max<std::uint64_t>(1, (std::max<std::uint64_t>(tensors, 3) - 3) / kTensorsOfALayer);
  model_.push_back({"model.embed_tokens.weight", {kVocabulary, kHidden}, 0});
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    const auto stage = narrow<int>(layer * static_cast<std::uint64_t>(pipeline_) / layers);
    const auto add = [&](const char* name, Shape shape) {
      model_.push_back({fmt::format("model.layers.{}.{}.weight", layer, name), std::move(shape), stage});
    };
    add("self_attn.q_proj", {kHidden, kHidden});
    add("self_attn.k_proj", {kHiddenOfKeys, kHidden});
    add("self_attn.v_proj", {kHiddenOfKeys, kHidden});
    add("self_attn.o_proj", {kHidden, kHidden});
    add("mlp.gate_proj", {kHiddenOfMlp, kHidden});
    add("mlp.up_proj", {kHiddenOfMlp, kHidden});
    add("mlp.down_proj", {kHidden, kHiddenOfMlp});
    add("input_layernorm", {kHidden});
    add("post_attention_layernorm", {kHidden});
  }
  model_.push_back({"model.norm.weight", {kHidden}, pipeline_ - 1});
  model_.push_back({"lm_head.weight", {kVocabulary, kHidden}, pipeline_ - 1});
  // What is missing to the number asked for.
  for (auto i = model_.size(); i < tensors; ++i) {
    model_.push_back({fmt::format("model.extra.{}.weight", i), {kHidden}, pipeline_ - 1});
  }
}

// Tensor-parallel ranks lie side by side, then the replicas of a stage, then the stages.
SimulatedJob::Place SimulatedJob::place_of(int rank) const {
  return {rank % tensor_parallel_, rank / tensor_parallel_ / data_, rank / tensor_parallel_ % data_};
}

RankSet SimulatedJob::ranks_with_model_of(const Place& place) const {
  RankSet ranks;
  for (int data = 0; data < data_; ++data) {
    ranks.push_back((place.pipeline * data_ + data) * tensor_parallel_ + place.tensor);
  }
  return ranks;
}

std::vector<SimulatedJob::LocalRange> SimulatedJob::local_ranges(const Place& place) const {
  std::vector<LocalRange> local;
  std::uint64_t start = 0;
  for (std::size_t i = 0; i < model_.size(); ++i) {
    const auto& [name, shape, stage] = model_[i];
    if (stage != place.pipeline) continue;
    ElementRange range{0, element_count(shape)};
    if (shape.size() > 1) {
      range.count /= static_cast<std::uint64_t>(tensor_parallel_);
      range.first = range.count * static_cast<std::uint64_t>(place.tensor);
    }
    local.push_back({i, range, start});
    start += range.count;
  }
  return local;
}

void SimulatedJob::add_model(const Place& place, State& state) const {
  for (const auto& [index, range, start] : local_ranges(place)) {
    const auto& tensor = model_[index];
    auto shard = Shard::flat(range.first, range.count);
    if (tensor_parallel_ == 1 && pipeline_ == 1) {
      shard = Shard::whole();
    } else if (tensor.shape.size() > 1) {
      auto [rows, columns] = std::pair(tensor.shape[0], tensor.shape[1]);
      rows /= static_cast<std::uint64_t>(tensor_parallel_);
      shard = Shard::block({rows * static_cast<std::uint64_t>(place.tensor), 0}, {rows, columns});
    }
    state.add(object_path({"model", tensor.name}), DType::bfloat16, tensor.shape, nullptr, std::move(shard));
  }
}

// The moments lie one behind the other; each data-parallel rank has one range of all of them.
void SimulatedJob::add_moments(const Place& place, const std::vector<LocalRange>& local, State& state) const {
  const auto of_a_moment = local.empty() ? 0 : local.back().start + local.back().range.count;
  const auto cut = [&](int data) {
    const auto total = std::size(kMoments) * of_a_moment;
    const auto parts = static_cast<std::uint64_t>(data_);
    const auto part = static_cast<std::uint64_t>(data);
    return total / parts * part + std::min(part, total % parts);
  };
  for (std::size_t moment = 0; moment < std::size(kMoments); ++moment) {
    const auto base = moment * of_a_moment;
    const auto first = std::max(cut(place.data), base) - base;
    const auto last = std::max(std::min(cut(place.data + 1), base + of_a_moment), base) - base;
    auto at = std::partition_point(local.begin(), local.end(),
                                   [&](const auto& entry) { return entry.start + entry.range.count <= first; });
    for (; at != local.end() && at->start < last; ++at) {
      const auto begin = std::max(first, at->start);
      const auto end = std::min(last, at->start + at->range.count);
      const auto& tensor = model_[at->tensor];
      state.add(object_path({"optimizer", tensor.name, kMoments[moment]}), DType::float32, tensor.shape, nullptr,
                Shard::flat(at->range.first + begin - at->start, end - begin));
    }
  }
}

State SimulatedJob::state_of(int rank) const {
  State state;
  const auto place = place_of(rank);
  add_model(place, state);
  if (zero1_) add_moments(place, local_ranges(place), state);
  return state;
}

std::vector<SimulatedSaying> SimulatedJob::sayings() const {
  std::vector<SimulatedSaying> all;
  std::unordered_map<std::uint64_t, std::size_t> index;
  std::unordered_map<int, std::vector<LocalRange>> local_of;  // by place in a replica
  const auto say = [&](const State& state, const RankSet& ranks) {
    for (auto& portion : plan::pack_portions(plan::describe(state))) {
      const auto [entry, added] = index.try_emplace(hash_bytes(portion), all.size());
      if (added) all.push_back({{}, std::move(portion)});
      auto& known = all[entry->second].ranks;
      known.insert(known.end(), ranks.begin(), ranks.end());
    }
  };
  for (int rank = 0; rank < ranks_; ++rank) {
    const auto place = place_of(rank);
    if (place.data == 0) {
      State model;
      add_model(place, model);
      say(model, ranks_with_model_of(place));
    }
    if (!zero1_) continue;
    auto& local = local_of[place.pipeline * tensor_parallel_ + place.tensor];
    if (local.empty()) local = local_ranges(place);
    State moments;
    add_moments(place, local, moments);
    say(moments, {rank});
  }
  return all;
}

std::vector<plan::Wish> SimulatedJob::wishes(const Catalog& catalog) const {
  std::unordered_map<std::string_view, std::uint32_t> tensor_of;
  for (std::size_t i = 0; i < catalog.tensors.size(); ++i) {
    tensor_of[catalog.tensors[i].path] = narrow<std::uint32_t>(i);
  }
  std::vector<plan::Wish> wishes;
  for (auto& saying : sayings()) {
    plan::Wish wish{std::move(saying.ranks), {}};
    for (const auto& description : plan::unpack(saying.bytes)) {
      const auto range = contiguous_range(description.shard, description.global_shape);
      const auto item = item_bytes(description.dtype);
      wish.wants.push_back({tensor_of.at(description.path), range->first * item, range->count * item});
    }
    std::sort(wish.wants.begin(), wish.wants.end(), [](const auto& a, const auto& b) { return a.tensor < b.tensor; });
    wishes.push_back(std::move(wish));
  }
  return wishes;
}

Catalog catalog_of(const Layout& layout) {
  Catalog catalog;
  catalog.head_bytes = layout.head_bytes;
  catalog.tables_bytes = layout.tables_bytes;
  catalog.run.world_size = layout.world_size;
  catalog.run.payload_bytes = layout.payload_bytes;
  catalog.run.file_bytes = layout.file_bytes;
  const auto is_tensor = [](const auto& dataset) { return dataset.kind == DatasetKind::tensor; };
  const auto first = std::find_if(layout.datasets.begin(), layout.datasets.end(), is_tensor);
  for (auto dataset = first; dataset != layout.datasets.end(); ++dataset) {
    catalog.tensors.push_back(
        {dataset->path, dataset->dtype, dataset->shape, dataset->bytes, dataset->offset, dataset->tile});
  }
  const auto first_tensor = narrow<std::uint32_t>(first - layout.datasets.begin());
  for (const auto& extent : layout.extents) {
    catalog.extents.push_back({extent.dataset - first_tensor, extent.writer, extent.offset, extent.bytes, 0});
  }
  return catalog;
}

}  // namespace muster::bench
