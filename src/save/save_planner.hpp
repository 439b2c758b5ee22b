#pragma once
// How ranks come to the plan of a save, kept for the next save of the same state.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/plan.hpp"
#include "mpi/team.hpp"
#include "save/save_job.hpp"
#include "save/save_plan.hpp"

namespace muster::save {

class SavePlanner {
 public:
  SavePlanner(const mpi::Team& team, std::filesystem::path directory, std::uint64_t alignment_bytes)
      : team_(team), directory_(std::move(directory)), alignment_bytes_(alignment_bytes) {}

  // Local. Whether the kept plan was made for this fingerprint on this rank.
  [[nodiscard]] bool keeps(std::uint64_t fingerprint) const;
  // Local. Whether, as far as this rank knows, the kept plan serves this save too: on rank 0 the documents must fit.
  // It serves where all ranks say so.
  [[nodiscard]] bool kept_fits(const SaveJob& job) const;
  // Collective, in the phase "plan". Makes the plan of this save, to be kept in place of the last one. Where it fails a
  // rank may be left with either or none, and kept_fits() of all ranks does not say that one serves.
  // Makes the job's documents that are made of the contributions of all ranks.
  void make(SaveJob& job);
  // Local. What ranks said for the documents of the kept plan, where keeps() says so.
  [[nodiscard]] DocumentContributions contributions(std::uint64_t fingerprint) const;
  // The plan last made; null where there is none.
  [[nodiscard]] const std::shared_ptr<SavePlan>& kept() const { return kept_; }

 private:
  [[nodiscard]] GlobalState bring_together(const SaveJob& job) const;
  [[nodiscard]] DocumentContributions contributions_of_all(const State& state) const;
  [[nodiscard]] std::vector<DocumentSlot> slots_for(const std::map<std::string, std::string>& documents) const;

  const mpi::Team& team_;
  const std::filesystem::path directory_;
  const std::uint64_t alignment_bytes_;
  std::shared_ptr<SavePlan> kept_;
};

}  // namespace muster::save
