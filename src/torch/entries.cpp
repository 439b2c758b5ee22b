#include "torch/entries.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "base/exact_json.hpp"
#include "base/narrow.hpp"
#include "model/layout.hpp"
#include "model/shard_boxes.hpp"
#include "plan/layout.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {

using Objects = TrainingState::Objects;

// '/' in a name makes groups.
std::string below(std::string path, std::string_view name) {
  for (std::size_t first = 0; first <= name.size();) {
    const auto end = std::min(name.find('/', first), name.size());
    path += object_path({name.substr(first, end - first)});
    first = end + 1;
  }
  return path;
}

std::string path_of(const Objects::Entry& entry, const char* section, int rank) {
  return below(entry.is_per_rank ? object_path({"per_rank", std::to_string(rank)}) : object_path({section}),
               entry.name);
}

std::string size_path(const std::string& list) { return list + object_path({"size"}); }
std::string element_path(const std::string& list, std::size_t i) { return list + object_path({std::to_string(i)}); }

// Of what this rank alone has, whole: a flat range, since nobody else is expected to hold the same.
void add(State& state, const Objects::Entry& entry, Tensor described) {
  auto& description = described.description;
  if (entry.is_per_rank) description.shard = Shard::flat(0, element_count(description.shape));
  state.add(std::move(described));
}

Tensor number(std::string path, std::int64_t value) {
  auto owner = std::make_shared<std::int64_t>(value);
  auto* data = reinterpret_cast<std::byte*>(owner.get());
  return {.description = {{std::move(path), DType::int64, {}}}, .memory = {.data = data, .owner = std::move(owner)}};
}

// A document of one rank: a text in the payload, so that its value may change without an exchange between ranks.
Tensor text(std::string path, const nlohmann::json& value) {
  const auto written = to_exact_text(value, path);
  const auto bytes = plan::document_capacity_bytes(written.size());
  if (bytes > kMaxExtentBytes) {
    throw Error(ErrorKind::usage, fmt::format("{}: a document of one rank has {} bytes; it may have {}", path,
                                              written.size(), kMaxExtentBytes - 1));
  }
  auto owner = std::make_shared<std::string>(written);
  owner->resize(bytes, '\0');
  auto* data = reinterpret_cast<std::byte*>(owner->data());
  return {.description = {{std::move(path), DType::text, {bytes}}},
          .memory = {.data = data, .owner = std::move(owner)}};
}

}  // namespace

void describe_entries(State& state, const Objects& objects, const DescribeContext& context) {
  for (const auto& entry : objects.tensors) {
    add(state, entry, describe_tensor(path_of(entry, "tensors", context.rank), *entry.tensor));
  }
  for (const auto& entry : objects.lists) {
    const auto path = path_of(entry, "tensors", context.rank);
    add(state, entry, number(size_path(path), narrow<std::int64_t>(entry.tensors->size())));
    for (std::size_t i = 0; i < entry.tensors->size(); ++i) {
      add(state, entry, describe_tensor(element_path(path, i), (*entry.tensors)[i]));
    }
  }
  for (const auto& entry : objects.documents) {
    auto path = path_of(entry, "documents", context.rank);
    if (entry.is_per_rank) {
      add(state, entry, text(std::move(path), entry.save()));
    } else {
      state.add(Document{std::move(path), entry.save()});
    }
  }
}

namespace {

// The ranks of the save whose content this rank takes. Nothing where it does not fit: then there is a line about it.
std::optional<std::vector<int>> ranks_to_take(LoadBuilder& load, const Objects::Entry& entry,
                                              const PrepareContext& context) {
  const int saved = load.contents().world_size;
  if (!entry.is_per_rank || saved == context.ranks) return std::vector{context.rank};
  if (!entry.take) {
    load.problem(
        fmt::format("{}: each of {} ranks saved its own, and this job has {} ranks; TakenRanks says what each "
                    "of them takes",
                    entry.name, saved, context.ranks));
    return std::nullopt;
  }
  auto ranks = entry.take(saved, context.rank, context.ranks);
  for (const auto rank : ranks) {
    if (rank >= 0 && rank < saved) continue;
    throw Error(ErrorKind::usage,
                fmt::format("{}: TakenRanks names rank {}, and {} ranks saved", entry.name, rank, saved));
  }
  return ranks;
}

// The same for what cannot be joined.
std::optional<int> rank_to_take(LoadBuilder& load, const Objects::Entry& entry, const PrepareContext& context) {
  const auto ranks = ranks_to_take(load, entry, context);
  if (!ranks || ranks->empty()) return std::nullopt;
  if (ranks->size() > 1) {
    throw Error(ErrorKind::usage, fmt::format("{}: TakenRanks names {} ranks, and only lists of tensors can be joined",
                                              entry.name, ranks->size()));
  }
  return ranks->front();
}

torch::Tensor empty_as(const TensorDescription& saved, const torch::Device& device) {
  std::vector<std::int64_t> sizes;
  for (const auto size : saved.shape) sizes.push_back(narrow<std::int64_t>(size));
  // Tensors made here outlive the load: they must be usable in training whatever mode the caller is in.
  const c10::InferenceMode normal_mode(false);
  return torch::empty(sizes, torch::TensorOptions().dtype(to_scalar_type(saved.dtype)).device(device));
}

void missing(LoadBuilder& load, const std::string& path) { load.missing("missing in the checkpoint: " + path); }

void prepare_tensor(LoadBuilder& load, const Objects::OneTensor& entry, const PrepareContext& context) {
  const auto rank = rank_to_take(load, entry, context);
  if (!rank) return;
  const auto path = path_of(entry, "tensors", *rank);
  if (!load.selects(path)) return;
  const auto* saved = load.saved(path);
  if (saved == nullptr) return missing(load, path);
  auto& tensor = *entry.tensor;
  const bool is_there = tensor.defined();
  const bool fits =
      is_there && saved->shape == shape_of(tensor) && load.fits(saved->dtype, to_dtype(tensor.scalar_type()));
  const bool may_be_made = entry.options.resizable || !is_there;
  if ((fits && is_writable(tensor)) || (!fits && !may_be_made)) {
    load.state().add(describe_tensor(path, tensor));
    return;
  }
  const auto device = entry.options.device.value_or(is_there ? tensor.device() : torch::Device(torch::kCPU));
  auto made = empty_as(*saved, device);
  load.state().add(describe_tensor(path, made));
  if (!fits) load.made(path);
  load.on_commit([&tensor, made] {
    const torch::NoGradGuard no_grad;
    if (!tensor.defined() || tensor.scalar_type() != made.scalar_type() || tensor.device() != made.device()) {
      const bool requires_grad = tensor.defined() && tensor.requires_grad() && made.is_floating_point();
      tensor = made;
      tensor.requires_grad_(requires_grad);
      return;
    }
    // Others that refer to the same tensor, such as an optimizer, see it too.
    if (tensor.sizes() != made.sizes()) tensor.mutable_grad() = torch::Tensor();
    tensor.set_data(made);
  });
}

void prepare_list(LoadBuilder& load, const Objects::TensorList& entry, const PrepareContext& context) {
  const auto ranks = ranks_to_take(load, entry, context);
  if (!ranks) return;
  auto& list = *entry.tensors;
  const auto device =
      entry.options.device.value_or(!list.empty() && list[0].defined() ? list[0].device() : torch::Device(torch::kCPU));
  std::vector<torch::Tensor> made;
  for (const auto rank : *ranks) {
    const auto path = path_of(entry, "tensors", rank);
    if (!load.selects(size_path(path))) return;
    if (load.saved(size_path(path)) == nullptr) return missing(load, path);
    // Only that it is there counts: an empty list is one, too.
    load.state().add(number(size_path(path), 0));
    for (std::size_t i = 0;; ++i) {
      const auto* saved = load.saved(element_path(path, i));
      if (saved == nullptr) break;
      made.push_back(empty_as(*saved, device));
      load.state().add(describe_tensor(saved->path, made.back()));
    }
    load.made(path);
  }
  load.on_commit([&list, made = std::move(made)] { list = made; });
}

void prepare_document(LoadBuilder& load, const Objects::DocumentEntry& entry, const PrepareContext& context) {
  const auto rank = rank_to_take(load, entry, context);
  if (!rank) return;
  const auto path = path_of(entry, "documents", *rank);
  if (!load.selects(path)) return;
  if (!entry.is_per_rank) {
    const auto* value = load.contents().find_document(path);
    if (value == nullptr) return missing(load, path);
    load.on_commit([take = entry.load, value = *value] { take(value); });
    return;
  }
  const auto* saved = load.saved(path);
  if (saved == nullptr) return missing(load, path);
  if (saved->dtype != DType::text) {
    return load.problem(fmt::format("{}: {} in the checkpoint, a document wanted", path, name(saved->dtype)));
  }
  const auto bytes = std::make_shared<std::string>(element_count(saved->shape), '\0');
  load.state().add({.description = {{path, DType::text, saved->shape}},
                    .memory = {.data = reinterpret_cast<std::byte*>(bytes->data()), .owner = bytes}});
  load.on_commit([take = entry.load, bytes, path] { take(from_exact_text(bytes->c_str(), path)); });
}

}  // namespace

void prepare_entries(LoadBuilder& load, const Objects& objects, const PrepareContext& context) {
  for (const auto& entry : objects.tensors) prepare_tensor(load, entry, context);
  for (const auto& entry : objects.lists) prepare_list(load, entry, context);
  for (const auto& entry : objects.documents) prepare_document(load, entry, context);
}

}  // namespace muster::torch_adapter
