#pragma once
// One save on its way through the phases.

#include <map>
#include <memory>
#include <muster/checkpoint.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "engine/engine.hpp"
#include "model/catalog.hpp"
#include "save/save_plan.hpp"
#include "store/directory.hpp"
#include "store/ownership.hpp"
#include "store/part.hpp"
#include "store/part_reservation.hpp"

namespace muster::save {

struct SaveJob {
  explicit SaveJob(const SaveOptions& save_options) : options(save_options) {}

  // Seconds since the last phase ended.
  double end_phase(const char* ended) {
    const double seconds = watch.lap();
    report.phase_s[ended] = seconds;
    return seconds;
  }

  // Rank 0: removes the part file, where there may be one that is not published.
  void drop_part() {
    if (!part_may_exist || !claim) return;
    part_file.reset();
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    part_may_exist = false;
    claim.reset();
  }

  const SaveOptions options;
  std::uint64_t number = 0;          // of the saves of this Checkpointer, from 1; the same on all ranks
  std::string_view phase = "agree";  // what this rank is at, while it prepares
  const State* state = nullptr;
  Grid grid;  // resolved
  std::map<std::string, std::string> documents;
  std::uint64_t fingerprint = 0;
  std::shared_ptr<SavePlan> plan;
  std::uint64_t generation = 0;  // of the directory; 0: none is held yet
  std::filesystem::path part;    // known with the generation
  bool part_may_exist = false;
  engine::Engine* engine = nullptr;
  engine::WriteResult written;
  TelemetryRow telemetry;
  Stopwatch watch;
  SaveReport report;
  // Rank 0 alone has what follows.
  store::Ownership* ownership = nullptr;
  RunInfo run;
  std::optional<store::PartReservation> claim;
  std::optional<store::PartFile> part_file;
};

}  // namespace muster::save
