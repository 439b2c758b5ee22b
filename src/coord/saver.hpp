#pragma once
// Saving, phase by phase: agree, plan, open, write, sync, publish.

#include <map>
#include <muster/checkpoint.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "coord/team.hpp"
#include "engine/engine.hpp"
#include "h5/head.hpp"
#include "model/layout.hpp"
#include "model/plan.hpp"
#include "store/directory.hpp"

namespace muster::coord {

// Keeps the layout and the head of the last save.
class Saver {
 public:
  Saver(const Team& team, store::Directory& directory, const CheckpointerOptions& options,
        std::unique_ptr<engine::Engine> engine);

  // Collective; see Checkpointer::save.
  SaveReport save(const Checkpointer::Describe& describe, const SaveOptions& options);

 private:
  struct Job;  // one save on its way through the phases

  void agree(Job& job, const Checkpointer::Describe& describe);
  void plan(Job& job);
  void open(Job& job);
  void write(Job& job);
  void sync(Job& job);
  void publish(Job& job);
  void retire_old_tags(Job& job);
  void remove_part(const Job& job) const;

  GlobalState bring_together(const State& state) const;
  std::vector<DocumentSlot> slots_for(const std::map<std::string, std::string>& documents) const;
  [[nodiscard]] bool fits_kept_layout(const Job& job) const;
  [[nodiscard]] RunInfo run_info(const Job& job) const;

  const Team& team_;
  store::Directory& directory_;
  CheckpointerOptions options_;
  std::unique_ptr<engine::Engine> engine_;

  // Of the last plan.
  std::uint64_t fingerprint_ = 0;
  std::optional<Layout> layout_;
  std::optional<h5::Head> head_;  // rank 0
};

}  // namespace muster::coord
