#include "bench/simulated_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <muster/sharding.hpp>
#include <string_view>
#include <unordered_map>

#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "model/shard_boxes.hpp"
#include "plan/description.hpp"
#include "plan/read_requests.hpp"

namespace muster::bench {

namespace {

// Those of LLaMA 3 70B.
constexpr std::uint64_t kHidden = 8192;
constexpr std::uint64_t kHiddenOfKeys = 1024;
constexpr std::uint64_t kHiddenOfMlp = 28672;
constexpr std::uint64_t kVocabulary = 128256;
constexpr std::uint64_t kTensorsOfALayer = 7;

// A tensor that is cut along dimension 1 is shared out among data-parallel ranks in whole so-manieths of its rows: cuts
// anywhere would leave chunks of a single row.
constexpr std::uint64_t kCutsOfColumns = 16;

constexpr std::array<const char*, 2> kMoments{"exp_avg", "exp_avg_sq"};

// The distinct strings of many ranks, by the first rank that passes each.
class Exchange {
 public:
  void add(Bytes bytes, const RankSet& ranks) {
    const auto [entry, added] = index_.try_emplace(hash_bytes(bytes), all_.size());
    if (added) all_.push_back({{}, std::move(bytes)});
    auto& known = all_[entry->second].ranks;
    known.insert(known.end(), ranks.begin(), ranks.end());
  }

  std::vector<SimulatedBytes> take() {
    for (auto& each : all_) std::ranges::sort(each.ranks);
    return std::move(all_);
  }

 private:
  std::vector<SimulatedBytes> all_;
  std::unordered_map<std::uint64_t, std::size_t> index_;
};

}  // namespace

SimulatedJob::SimulatedJob(int ranks, std::uint64_t tensors, const Grid& grid, HeldMoments held)
    : grid_(grid, ranks), held_(held) {
  add_layers(tensors);
  for (int rank = 0; rank < ranks; ++rank) {
    if (grid_.coordinate(rank, Axis::data) != 0) continue;
    parts_of_[grid_.group_number(rank, {Axis::data})] = local_parts(rank);
  }
}

void SimulatedJob::add_layers(std::uint64_t tensors) {
  const auto layers = std::max<std::uint64_t>(1, (std::max<std::uint64_t>(tensors, 3) - 3) / kTensorsOfALayer);
  const auto stages = static_cast<std::uint64_t>(grid_.grid().pipeline);
  const auto last_stage = grid_.grid().pipeline - 1;
  model_.push_back({"model.embed_tokens.weight", {kVocabulary, kHidden}, Cut::rows});
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    const auto add = [&](const char* name, Shape shape, Cut cut, std::vector<std::uint64_t> fused = {}) {
      model_.push_back({fmt::format("model.layers.{}.{}.weight", layer, name), std::move(shape), cut, std::move(fused),
                        narrow<int>(layer * stages / layers)});
    };
    add("input_layernorm", {kHidden}, Cut::none);
    add("self_attn.qkv_proj", {kHidden + 2 * kHiddenOfKeys, kHidden}, Cut::fused_rows,
        {kHidden, kHiddenOfKeys, kHiddenOfKeys});
    add("self_attn.o_proj", {kHidden, kHidden}, Cut::columns);
    add("post_attention_layernorm", {kHidden}, Cut::none);
    add("mlp.gate_proj", {kHiddenOfMlp, kHidden}, Cut::rows);
    add("mlp.up_proj", {kHiddenOfMlp, kHidden}, Cut::rows);
    add("mlp.down_proj", {kHidden, kHiddenOfMlp}, Cut::columns);
  }
  model_.push_back({"model.norm.weight", {kHidden}, Cut::none, {}, last_stage});
  model_.push_back({"lm_head.weight", {kVocabulary, kHidden}, Cut::rows, {}, last_stage});
  // What is missing to the number asked for.
  for (auto i = model_.size(); i < tensors; ++i) {
    model_.push_back({fmt::format("model.extra.{}.weight", i), {kHidden}, Cut::none, {}, last_stage});
  }
}

std::vector<SimulatedJob::LocalPart> SimulatedJob::local_parts(int rank) const {
  const auto part = grid_.coordinate(rank, Axis::tensor);
  const auto parts = grid_.degree(Axis::tensor);
  const auto shard_of = [&](const ModelTensor& tensor) {
    if (parts == 1 || tensor.cut == Cut::none) return Shard::whole();
    if (tensor.cut == Cut::fused_rows) return split_fused(tensor.shape, tensor.fused, part, parts);
    return split(tensor.shape, tensor.cut == Cut::columns ? 1 : 0, part, parts);
  };
  std::vector<LocalPart> local;
  std::uint64_t start = 0;
  for (std::size_t i = 0; i < model_.size(); ++i) {
    const auto& tensor = model_[i];
    if (tensor.stage != grid_.coordinate(rank, Axis::pipeline)) continue;
    auto shard = shard_of(tensor);
    const auto elements = elements_held(shard, tensor.shape);
    std::uint64_t rows = shard.boxes().empty() ? tensor.shape.front() : 0;
    for (const auto& box : shard.boxes()) rows += box.shape.front();
    if (elements == 0 || rows == 0) continue;
    local.push_back({i, std::move(shard), rows, elements / rows, start});
    start += elements;
  }
  return local;
}

State SimulatedJob::model_state(const std::vector<LocalPart>& parts) const {
  State state;
  for (const auto& part : parts) {
    const auto& [name, shape, cut, fused, stage] = model_[part.tensor];
    state.add(object_path({"model", name}), DType::bfloat16, shape, nullptr, part.shard);
  }
  return state;
}

ElementRange SimulatedJob::rows_between(const LocalPart& part, std::uint64_t first, std::uint64_t last) const {
  const bool in_columns = model_[part.tensor].cut == Cut::columns && grid_.degree(Axis::tensor) > 1;
  const auto step = in_columns ? std::max<std::uint64_t>(1, part.rows / kCutsOfColumns) : 1;
  const auto row_at = [&](std::uint64_t element) {
    const auto of_step = step * part.row_elements;
    const auto inside = element > part.start ? element - part.start : 0;
    return std::min((inside + of_step - 1) / of_step * step, part.rows);
  };
  return {row_at(first), row_at(last) - row_at(first)};
}

State SimulatedJob::moments_state(int rank, const std::vector<LocalPart>& parts) const {
  State state;
  const auto data = grid_.coordinate(rank, Axis::data);
  const auto ranks = grid_.degree(Axis::data);
  const auto add = [&](const LocalPart& part, const char* moment, const ElementRange& rows) {
    if (rows.count == 0) return;
    const auto& tensor = model_[part.tensor];
    state.add(object_path({"optimizer", tensor.name, moment}), DType::float32, tensor.shape, nullptr,
              part_of(tensor.shape, part.shard, {rows.first * part.row_elements, rows.count * part.row_elements}));
  };
  if (held_ == HeldMoments::chunks) {
    for (const auto* moment : kMoments) {
      for (const auto& part : parts) add(part, moment, chunk(part.rows, data, ranks));
    }
  }
  if (held_ != HeldMoments::zero1) return state;
  // The moments lie one behind the other; each data-parallel rank has one range of all of them.
  const auto of_a_moment = parts.empty() ? 0 : parts.back().start + parts.back().rows * parts.back().row_elements;
  const auto [first, count] = chunk(std::size(kMoments) * of_a_moment, data, ranks);
  for (std::size_t moment = 0; moment < std::size(kMoments); ++moment) {
    const auto base = moment * of_a_moment;
    const auto begin = std::max(first, base) - base;
    const auto end = std::max(std::min(first + count, base + of_a_moment), base) - base;
    for (const auto& part : parts) add(part, kMoments[moment], rows_between(part, begin, end));
  }
  return state;
}

std::vector<int> SimulatedJob::peer_groups() const {
  std::vector<int> groups;
  groups.reserve(static_cast<std::size_t>(ranks()));
  for (int rank = 0; rank < ranks(); ++rank) {
    groups.push_back(grid_.group_number(rank, {Axis::tensor, Axis::context, Axis::data}));
  }
  return groups;
}

State SimulatedJob::state_of(int rank) const {
  const auto& parts = parts_of_.at(grid_.group_number(rank, {Axis::data}));
  auto state = model_state(parts);
  const auto moments = moments_state(rank, parts);
  for (const auto& tensor : moments.tensors()) state.add(tensor);
  return state;
}

std::vector<SimulatedBytes> SimulatedJob::distinct() const {
  Exchange all;
  for (int rank = 0; rank < ranks(); ++rank) {
    const auto& parts = parts_of_.at(grid_.group_number(rank, {Axis::data}));
    if (grid_.coordinate(rank, Axis::data) == 0) {
      const auto holders = grid_.group(rank, {Axis::data});
      for (auto& bytes : plan::pack_for_exchange(plan::describe(model_state(parts))))
        all.add(std::move(bytes), holders);
    }
    const auto moments = moments_state(rank, parts);
    for (auto& bytes : plan::pack_for_exchange(plan::describe(moments))) all.add(std::move(bytes), {rank});
  }
  return all.take();
}

namespace {

// The places of tensors in a layout, by path.
class TensorIndex {
 public:
  explicit TensorIndex(const Layout& layout) : layout_(layout) {
    for (const auto& tensor : layout.tensors) index_.emplace(tensor.path, narrow<std::uint32_t>(index_.size()));
  }

  [[nodiscard]] std::vector<plan::ReadRequest> requests(const State& state) const {
    std::vector<plan::ReadRequest> requests;
    for (const auto& [description, memory] : state.tensors()) {
      plan::append_requests(layout_, index_.at(description.path), description.shard, requests);
    }
    return requests;
  }

 private:
  const Layout& layout_;
  std::unordered_map<std::string_view, std::uint32_t> index_;
};

void sort_by_tensor(std::vector<plan::ReadRequest>& requests) {
  std::ranges::stable_sort(requests, {}, &plan::ReadRequest::tensor);
}

}  // namespace

std::vector<plan::ReadRequest> SimulatedJob::wants_of(int rank, const Layout& layout) const {
  auto requests = TensorIndex(layout).requests(state_of(rank));
  sort_by_tensor(requests);
  return requests;
}

SimulatedJob::Requests SimulatedJob::all_requests(const Layout& layout) const {
  const TensorIndex index(layout);
  std::map<int, std::vector<plan::ReadRequest>> of_model;
  for (const auto& [place, parts] : parts_of_) of_model[place] = index.requests(model_state(parts));
  Requests all_requests;
  Exchange all;
  std::size_t most = 0;
  for (int rank = 0; rank < ranks(); ++rank) {
    const auto place = grid_.group_number(rank, {Axis::data});
    auto requests = of_model.at(place);
    const auto of_moments = index.requests(moments_state(rank, parts_of_.at(place)));
    requests.insert(requests.end(), of_moments.begin(), of_moments.end());
    sort_by_tensor(requests);
    if (requests.size() > most) {
      most = requests.size();
      all_requests.fullest_rank = rank;
    }
    for (auto& bytes : plan::pack_for_exchange(layout, requests)) all.add(std::move(bytes), {rank});
  }
  all_requests.distinct = all.take();
  return all_requests;
}

}  // namespace muster::bench
