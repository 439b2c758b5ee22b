#include "save/save_planner.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/bytes.hpp"
#include "base/file_system.hpp"
#include "mpi/agree.hpp"
#include "mpi/exchange.hpp"
#include "mpi/mpi_version.hpp"
#include "plan/balance.hpp"
#include "plan/description.hpp"
#include "plan/layout.hpp"
#include "plan/merge.hpp"
#include "save/save_arguments.hpp"

namespace muster::save {

namespace {

std::vector<std::uint32_t> stored_as(const State& state, const Layout& layout) {
  std::unordered_map<std::string_view, std::uint32_t> by_path;
  for (std::uint32_t i = 0; i < layout.tensors.size(); ++i) by_path[layout.tensors[i].path] = i;
  std::vector<std::uint32_t> indices;
  for (const auto& tensor : state.tensors()) indices.push_back(by_path.at(tensor.description.path));
  return indices;
}

// Who is to hold the same tensors whole.
std::vector<int> peer_groups(const Grid& degrees, int world_size) {
  const ParallelGrid grid(degrees, world_size);
  std::vector<int> groups;
  for (int rank = 0; rank < world_size; ++rank) {
    groups.push_back(grid.group_number(rank, {Axis::tensor, Axis::context, Axis::data}));
  }
  return groups;
}

}  // namespace

bool SavePlanner::has_plan_for(std::uint64_t fingerprint) const { return kept_ && kept_->fingerprint == fingerprint; }

DocumentContributions SavePlanner::contributions(std::uint64_t fingerprint) const {
  return has_plan_for(fingerprint) ? kept_->contributions : DocumentContributions();
}

bool SavePlanner::plan_fits(const SaveJob& job) const {
  if (!has_plan_for(job.fingerprint)) return false;
  if (!team_.is_root()) return true;
  std::size_t documents = 0;
  for (const auto& table : kept_->layout.tables) {
    if (table.kind != Table::Kind::document || table.path == kRunPath) continue;
    ++documents;
    const auto document = job.documents.find(table.path);
    if (document == job.documents.end() || document->second.size() >= table.bytes) return false;
  }
  return documents == job.documents.size();
}

std::vector<DocumentSlot> SavePlanner::slots_for(const std::map<std::string, std::string>& documents) const {
  std::vector<DocumentSlot> slots;
  for (const auto& [path, text] : documents) {
    auto capacity = plan::document_capacity_bytes(text.size());
    // Never smaller than last time, so that a text around a power of two does not change the plan again and again.
    const auto* kept = kept_ ? kept_->layout.find_table(path) : nullptr;
    if (kept != nullptr && kept->kind == Table::Kind::document) capacity = std::max(capacity, kept->bytes);
    slots.push_back({path, capacity});
  }
  return slots;
}

GlobalState SavePlanner::gather_global_state(const SaveJob& job) const {
  const auto packed =
      mpi::run_agreed(team_.comm, "plan", [&] { return plan::pack_for_exchange(plan::describe(*job.state)); });
  const auto distinct = mpi::exchange_distinct(team_.comm, packed);
  GlobalState global;
  mpi::run_agreed(team_.comm, "plan", [&] {
    // Every rank comes to the same result; one rank's contributions are enough.
    try {
      plan::Merger merger(peer_groups(job.grid, team_.comm.size()));
      for (const auto& each : distinct) merger.add(each.ranks, plan::unpack(each.bytes));
      global = merger.finish();
    } catch (const Error&) {
      if (team_.is_root()) throw;
    }
  });
  return global;
}

DocumentContributions SavePlanner::contributions_of_all(const State& state) const {
  const auto mine = mpi::run_agreed(team_.comm, "plan", [&] {
    std::vector<Bytes> packed;
    for (const auto& document : state.documents()) {
      if (document.contribution.empty()) continue;
      ByteWriter writer;
      writer.put_text(document.path);
      writer.put_text(document.contribution);
      packed.push_back(writer.take());
    }
    return packed;
  });
  DocumentContributions contributions;
  for (const auto& each : mpi::exchange_distinct(team_.comm, mine)) {
    ByteReader reader(each.bytes);
    const auto path = reader.get_text();
    contributions[path].push_back(reader.get_text());
  }
  return contributions;
}

void SavePlanner::make(SaveJob& job) {
  auto global = gather_global_state(job);
  auto contributions = contributions_of_all(*job.state);
  Bytes roots;
  mpi::run_on_root(team_.comm, "plan", [&] {
    job.documents = document_texts(*job.state, job.options, contributions);
    for (const auto& said : contributions) {
      if (job.documents.contains(said.first)) continue;
      throw Error(ErrorKind::mismatch,
                  said.first + ": other ranks save it, and rank 0, which would write it, does not");
    }
    ByteWriter writer;
    writer.put_text(file_system_of(directory_));
    for (const auto& slot : slots_for(job.documents)) {
      writer.put_text(slot.path);
      writer.put(slot.capacity_bytes);
    }
    roots = writer.take();
  });
  team_.comm.broadcast(roots, 0);
  kept_.reset();
  mpi::run_agreed(team_.comm, "plan", [&] {
    ByteReader reader(roots);
    const auto file_system = reader.get_text();
    while (!reader.at_end()) {
      auto path = reader.get_text();
      global.documents.push_back({std::move(path), reader.get<std::uint64_t>()});
    }
    const plan::BalanceOptions balance{.node_of_rank = team_.node_of_rank,
                                       .writers_per_node = job.options.num_workers.value_or(0),
                                       .alignment_bytes = alignment_bytes_};
    auto layout = plan::lay_out(plan::balance(global, balance), alignment_bytes_);
    auto indices = stored_as(*job.state, layout);
    kept_ = std::make_shared<SavePlan>(SavePlan{
        job.fingerprint, std::move(layout), std::move(indices),
        engine::choose_engine(job.run_options.engine, file_system, mpi::node_count(team_), mpi::library_version()),
        std::move(contributions)});
  });
}

}  // namespace muster::save
