#include "plan/dry_run.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <muster/error.hpp>
#include <muster/sharding.hpp>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>

#include "base/narrow.hpp"
#include "model/shard_boxes.hpp"
#include "plan/delivery.hpp"
#include "plan/pipeline_stages.hpp"
#include "plan/read_plan.hpp"

namespace muster::plan {

namespace {

// What a path says of a tensor: /model/KEY, /optimizer/KEY/SLOT, and /models/NAME/KEY, /optimizers/NAME/KEY/SLOT.
struct Name {
  std::string section;   // "model" and "optimizer" for those with a name, too
  std::string key = {};  // of the model
  std::string slot = {};
  bool is_named = false;
};

// The models of an optimizer that updates several of them: "<model>." is before each of its keys.
std::vector<std::string> models_of(const Catalog& catalog, const std::string& optimizer) {
  const auto document = catalog.documents.find(object_path({"optimizers", optimizer, "param_groups"}));
  if (document == catalog.documents.end()) return {};
  const auto value = nlohmann::json::parse(document->second, nullptr, false);
  if (!value.is_object() || !value.contains("models") || !value["models"].is_array()) return {};
  std::vector<std::string> models;
  for (const auto& model : value["models"]) {
    if (model.is_string()) models.push_back(model.get<std::string>());
  }
  return models.size() > 1 ? models : std::vector<std::string>();
}

Name name_of(const std::string& path) {
  auto keys = object_keys(path);
  Name name{.section = keys.front()};
  if (keys.size() > 2 && (keys[0] == "models" || keys[0] == "optimizers")) {
    name.section.pop_back();
    name.is_named = true;
    keys.erase(keys.begin());
  }
  name.key = keys.size() > 1 ? keys[1] : keys.front();
  for (std::size_t i = 2; i < keys.size(); ++i) name.slot += (i > 2 ? "/" : "") + keys[i];
  return name;
}

constexpr const char* kMaster = "master";

struct Held {
  std::uint32_t tensor = 0;
  Shard shard;
  bool for_model = false;  // a master from which the model's parameter is made
};

class DryRunner {
 public:
  DryRunner(const Catalog& catalog, const DryRunJob& job)
      : catalog_(catalog), job_(job), grid_(job.grid, job.ranks), names_(names_of(catalog)), stages_(make_stages()) {
    for (const auto& name : names_) {
      if (name.section == "model" && !name.is_named) model_keys_.insert(name.key);
    }
    if (job.wanted) wanted_.emplace(job.wanted->begin(), job.wanted->end());
  }

  DryRun run() {
    check_grid();
    check_rules();
    check_stages();
    check_optimizer();
    check_wanted();
    std::map<int, std::vector<Held>> held_at;  // by group over the axes that cut nothing but the optimizer
    for (int rank = 0; rank < job_.ranks; ++rank) {
      const auto place = grid_.group_number(rank, {Axis::data, Axis::context});
      if (!held_at.contains(place)) held_at[place] = held_by(rank);
    }
    if (result_.problems.empty()) read(held_at);
    return std::move(result_);
  }

 private:
  static std::vector<Name> names_of(const Catalog& catalog) {
    std::vector<Name> names;
    std::map<std::string, std::vector<std::string>> models;  // by optimizer
    for (const auto& tensor : catalog.tensors) {
      auto& name = names.emplace_back(name_of(tensor.path));
      if (!name.is_named || name.section != "optimizer") continue;
      const auto optimizer = object_keys(tensor.path)[1];
      if (!models.contains(optimizer)) models[optimizer] = models_of(catalog, optimizer);
      for (const auto& model : models[optimizer]) {
        if (!name.key.starts_with(model + ".")) continue;
        name.key.erase(0, model.size() + 1);
        break;
      }
    }
    return names;
  }

  static bool is_cut(const Name& name) { return name.section == "model" || name.section == "optimizer"; }

  [[nodiscard]] PipelineStages make_stages() const {
    std::vector<std::string> keys;
    for (const auto& name : names_) {
      if (is_cut(name)) keys.push_back(name.key);
    }
    return {keys, grid_.degree(Axis::pipeline), job_.first_stage};
  }

  // Degrees that change nothing.
  void check_grid() {
    for (const auto axis : {Axis::tensor, Axis::expert}) {
      if (grid_.degree(axis) == 1 || !job_.rules.empty()) continue;
      result_.notes.push_back(
          fmt::format("{}={} cuts nothing without a rule: each of these ranks gets all of every tensor", name(axis),
                      grid_.degree(axis)));
    }
    if (job_.zero1 && grid_.degree(Axis::data) == 1) {
      result_.notes.push_back("dp=1: ZeRO-1 has no ranks to share the optimizer's tensors out to");
    }
  }

  void check_rules() {
    for (const auto& rule : job_.rules) {
      const auto matches = [&](const auto& name) {
        return is_cut(name) && fnmatch(rule.keys.c_str(), name.key.c_str(), 0) == 0;
      };
      if (std::ranges::none_of(names_, matches)) {
        result_.problems.push_back(fmt::format("missing in the checkpoint: any tensor for the rule {}", rule.keys));
      }
    }
  }

  void check_stages() {
    const auto stages = grid_.degree(Axis::pipeline);
    if (stages > 1 && stages_.layers() < narrow<std::uint64_t>(stages)) {
      result_.problems.push_back(
          fmt::format("{} pipeline stages, but {} numbered layers to share out", stages, stages_.layers()));
    }
  }

  // A slot that some parameters have, others should have too; but for those that are not trained.
  void check_optimizer() {
    std::map<std::string, std::set<std::string>> keys_of_slot;
    std::set<std::string> keys;
    for (const auto& [section, key, slot, is_named] : names_) {
      if (is_named) continue;
      if (section == "optimizer" && !slot.empty()) keys_of_slot[slot].insert(key);
      if (section == "model") keys.insert(key);
    }
    for (const auto& [slot, known] : keys_of_slot) {
      std::vector<std::string> without;
      std::ranges::set_difference(keys, known, std::back_inserter(without));
      if (without.empty()) continue;
      result_.notes.push_back(fmt::format("{} of {} tensors of the model have no {} of the optimizer: {}{}",
                                          without.size(), keys.size(), slot, without.front(),
                                          without.size() > 1 ? ", ..." : ""));
    }
    std::vector<std::string> made;
    std::vector<std::string> without;
    for (const auto& name : names_) {
      if (name.section != "optimizer" || name.is_named || name.slot.empty() || keys.contains(name.key)) continue;
      if (stands_for_model(name)) made.push_back(name.key);
    }
    std::ranges::sort(made);
    for (const auto& [slot, known] : keys_of_slot)
      std::ranges::set_difference(known, keys, std::back_inserter(without));
    std::erase_if(without, [&](const auto& key) { return std::ranges::binary_search(made, key); });
    if (!made.empty())
      result_.notes.push_back(
          fmt::format("tensors of the model made from masters, counted as float32: {}", made.size()));
    if (!without.empty()) {
      result_.notes.push_back(fmt::format("state of the optimizer for no tensor of the model: /optimizer/{}{}",
                                          without.front(), without.size() > 1 ? ", ..." : ""));
    }
  }

  [[nodiscard]] bool is_wanted(const std::string& path) const { return !wanted_ || wanted_->contains(path); }

  void check_wanted() {
    if (!wanted_) return;
    std::set<std::string> there;
    std::vector<std::string> unasked;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const auto& path = catalog_.tensors[i].path;
      there.insert(path);
      if (stands_for_model(names_[i])) there.insert(model_path(names_[i]));
      if (!is_wanted(path)) unasked.push_back(path);
    }
    for (const auto& document : catalog_.documents) there.insert(document.first);
    for (const auto& path : *wanted_) {
      if (!there.contains(path)) result_.problems.push_back("missing in the checkpoint: " + path);
    }
    if (!unasked.empty()) {
      result_.notes.push_back(fmt::format("{} tensors of the checkpoint are not wanted, and not counted: {}{}",
                                          unasked.size(), unasked.front(), unasked.size() > 1 ? ", ..." : ""));
    }
  }

  static std::string model_path(const Name& name) { return object_path({"model", name.key}); }

  [[nodiscard]] bool stands_for_model(const Name& name) const {
    return name.section == "optimizer" && !name.is_named && name.slot == kMaster && !model_keys_.contains(name.key);
  }

  // What all ranks that differ in the data and context axes alone hold.
  std::vector<Held> held_by(int rank) {
    std::vector<Held> held;
    for (std::uint32_t i = 0; i < names_.size(); ++i) {
      const auto& name = names_[i];
      if (name.section == "rng" || name.section == "per_rank") continue;
      const bool for_model = stands_for_model(name) && is_wanted(model_path(name));
      const bool for_itself = is_wanted(catalog_.tensors[i].path);
      if (!for_model && !for_itself) continue;
      auto shard = Shard::whole();
      if (is_cut(name)) {
        if (stages_.stage_of(name.key) != grid_.coordinate(rank, Axis::pipeline)) continue;
        const auto& shape = catalog_.tensors[i].shape;
        try {
          shard = shard_of(job_.rules, name.key, shape, grid_, rank);
        } catch (const Error& error) {
          // The slots of a parameter do not fit for one reason.
          auto problem = fmt::format("{}: {}", name.section, error.what());
          if (misfits_.insert(problem).second) result_.problems.push_back(std::move(problem));
          continue;
        }
        if (elements_held(shard, shape) == 0 && element_count(shape) > 0 && empty_.insert(i).second) {
          result_.notes.push_back(
              fmt::format("{} of shape {} is cut so that rank {} (and others like it) gets nothing of it",
                          catalog_.tensors[i].path, to_string(shape), rank));
        }
      }
      if (for_model) held.push_back({i, shard, true});
      if (for_itself) held.push_back({i, std::move(shard)});
    }
    return held;
  }

  // The chunk of the rows of what the place holds. A number has no rows: every rank keeps it.
  [[nodiscard]] Shard chunk_of(const Held& held, int rank) const {
    const auto& shape = catalog_.tensors[held.tensor].shape;
    if (shape.empty()) return held.shard;
    auto local = shape;
    if (!held.shard.boxes().empty()) {
      local = held.shard.boxes().front().shape;
      local.front() = 0;
      for (const auto& box : held.shard.boxes()) local.front() += box.shape.front();
    }
    return part_of(shape, held.shard,
                   chunk_of_rows(local, grid_.coordinate(rank, Axis::data), grid_.degree(Axis::data)));
  }

  void add(const Held& held, DryRunRank& rank, std::vector<ReadRequest>& requests) const {
    const auto& tensor = catalog_.tensors[held.tensor];
    const auto elements = elements_held(held.shard, tensor.shape);
    if (elements > 0) ++rank.tensors;
    rank.state_bytes += elements * item_bytes(tensor.dtype);
    append_requests(catalog_, held.tensor, held.shard, requests);
  }

  void read(const std::map<int, std::vector<Held>>& held_at) {
    result_.ranks.resize(narrow<std::size_t>(job_.ranks));
    std::vector<RankRequests> all_requests;
    for (int rank = 0; rank < job_.ranks; ++rank) {
      const auto& held = held_at.at(grid_.group_number(rank, {Axis::data, Axis::context}));
      const bool is_first_of_place =
          grid_.coordinate(rank, Axis::data) == 0 && grid_.coordinate(rank, Axis::context) == 0;
      if (is_first_of_place) wish_replicated(held, grid_.group(rank, {Axis::data, Axis::context}), all_requests);
      if (grid_.coordinate(rank, Axis::context) == 0)
        wish_chunks(held, grid_.group(rank, {Axis::context}), all_requests);
    }
    RankSet readers(result_.ranks.size());
    std::iota(readers.begin(), readers.end(), 0);
    const auto units = plan_reads(catalog_, all_requests, readers);
    std::vector<int> node_of_rank;
    for (const int rank : readers) node_of_rank.push_back(rank / job_.ranks_per_node);
    const Delivery delivery(units, std::move(node_of_rank), true);
    std::vector<RankTransfers> handled(readers.size());
    for (const auto& unit : units) count(unit, delivery, handled);
    for (std::size_t rank = 0; rank < handled.size(); ++rank) {
      result_.ranks[rank].buffer_bytes = delivery.buffer_bytes(handled[rank]);
    }
  }

  [[nodiscard]] bool is_chunked(const Held& held) const {
    return job_.zero1 && names_[held.tensor].section == "optimizer" && !held.for_model;
  }

  // The same for all of them.
  void add_requests(RankSet ranks, const DryRunRank& share, std::vector<ReadRequest> requests,
                    std::vector<RankRequests>& all_requests) {
    for (const int rank : ranks) {
      result_.ranks[static_cast<std::size_t>(rank)].tensors += share.tensors;
      result_.ranks[static_cast<std::size_t>(rank)].state_bytes += share.state_bytes;
    }
    if (!requests.empty()) all_requests.push_back({std::move(ranks), std::move(requests)});
  }

  void wish_replicated(const std::vector<Held>& held, RankSet ranks, std::vector<RankRequests>& all_requests) {
    DryRunRank share;
    std::vector<ReadRequest> requests;
    for (const auto& one : held) {
      if (!is_chunked(one)) add(one, share, requests);
    }
    add_requests(std::move(ranks), share, std::move(requests), all_requests);
  }

  void wish_chunks(const std::vector<Held>& held, RankSet ranks, std::vector<RankRequests>& all_requests) {
    DryRunRank share;
    std::vector<ReadRequest> requests;
    for (const auto& one : held) {
      if (is_chunked(one)) add({one.tensor, chunk_of(one, ranks.front())}, share, requests);
    }
    add_requests(std::move(ranks), share, std::move(requests), all_requests);
  }

  void count(const ReadUnit& unit, const Delivery& delivery, std::vector<RankTransfers>& handled) {
    auto& reader = result_.ranks[static_cast<std::size_t>(unit.reader)];
    reader.read_bytes += unit.bytes;
    delivery.add(unit, unit.reader, handled[static_cast<std::size_t>(unit.reader)]);
    for (const int rank : unit.wanted_by) {
      if (rank == unit.reader) continue;
      delivery.add(unit, rank, handled[static_cast<std::size_t>(rank)]);
      if (delivery.on_one_node(rank, unit.reader)) continue;
      reader.sent_bytes += unit.bytes;
      result_.ranks[static_cast<std::size_t>(rank)].received_bytes += unit.bytes;
    }
  }

  const Catalog& catalog_;
  const DryRunJob& job_;
  ParallelGrid grid_;
  std::vector<Name> names_;
  std::set<std::string> model_keys_;
  std::optional<std::set<std::string>> wanted_;
  PipelineStages stages_;
  std::set<std::string> misfits_;
  std::set<std::uint32_t> empty_;
  DryRun result_;
};

}  // namespace

DryRun dry_run(const Catalog& catalog, const DryRunJob& job) { return DryRunner(catalog, job).run(); }

}  // namespace muster::plan
