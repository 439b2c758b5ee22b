#pragma once
// Saving, phase by phase: agree, plan, open, write, sync, publish.

#include <map>
#include <muster/checkpoint.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "coord/team.hpp"
#include "engine/choice.hpp"
#include "engine/engine.hpp"
#include "h5/head.hpp"
#include "model/layout.hpp"
#include "model/plan.hpp"
#include "store/directory.hpp"

namespace muster::coord {

// Both, kept from save to save with what they have allocated.
struct Engines {
  std::unique_ptr<engine::Engine> direct;
  std::unique_ptr<engine::Engine> collective;
};

// Keeps the layout and the head of the last save.
class Saver {
 public:
  Saver(const Team& team, store::Directory& directory, const CheckpointerOptions& options, Engines engines);

  // Collective; see Checkpointer::save. `describe` is local; the state that it returns must live as long as the call.
  using Describe = std::function<const State&()>;
  SaveReport save(const Describe& describe, const SaveOptions& options);

 private:
  struct Job;  // one save on its way through the phases

  // What one plan decides, for this save and the next ones of the same state.
  struct Kept {
    std::uint64_t fingerprint = 0;
    Layout layout;
    std::vector<std::uint32_t> dataset_of_tensor;  // index into layout.datasets of each tensor of this rank's state
    engine::Choice choice;
    std::optional<h5::Head> head = std::nullopt;  // rank 0
  };

  void agree(Job& job, const Describe& describe);
  void prepare(Job& job, const Describe& describe) const;
  void plan(Job& job);
  void open(Job& job);
  void require_one_file(const Job& job) const;
  void write(Job& job);
  void sync(Job& job);
  void publish(Job& job);
  void retire_old_tags(Job& job);
  void remove_part(const Job& job) const;

  GlobalState bring_together(const State& state) const;
  std::vector<DocumentSlot> slots_for(const std::map<std::string, std::string>& documents) const;
  [[nodiscard]] bool fits_kept_plan(const Job& job) const;
  [[nodiscard]] engine::LocalShards local_shards(const State& state) const;
  [[nodiscard]] RunInfo run_info(const Job& job) const;
  [[nodiscard]] int node_count() const;

  const Team& team_;
  store::Directory& directory_;
  CheckpointerOptions options_;
  Engines engines_;
  std::optional<Kept> kept_;
};

}  // namespace muster::coord
