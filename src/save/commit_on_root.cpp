#include "save/commit_on_root.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "base/log.hpp"
#include "h5/tables.hpp"
#include "store/history.hpp"
#include "store/publish.hpp"
#include "store/retention.hpp"

namespace muster::save {

void publish_save(SaveJob& job, const std::vector<RankReport>& reports) {
  const auto& plan = *job.plan;
  TableContents contents;
  std::vector<std::size_t> next(reports.size());
  for (const auto& report : reports) contents.telemetry.push_back(report.telemetry);
  for (const auto& extent : plan.layout.extents) {
    const auto writer = static_cast<std::size_t>(extent.writer);
    contents.hashes.push_back(reports[writer].hashes.at(next[writer]++));
  }
  contents.run = job.run;
  contents.documents = job.documents;
  job.part_file->seal(plan.layout, *plan.head, contents);
  job.part_file.reset();
  store::publish(*job.ownership, job.part, job.options.tag);
}

void retire_old_tags(SaveJob& job, store::Directory& directory) {
  try {
    directory.note(job.run);
    const auto& newest = job.run_options.retention.newest;
    if (!newest) return;
    // Beside a background save another thread may be inside HDF5, which list() calls.
    const auto all = job.in_background ? directory.known() : directory.list();
    auto retired = store::tags_to_retire(all, *newest, job.options.tag);
    store::retire(*job.ownership, retired);
    job.report.removed_tags = std::move(retired);
  } catch (const std::exception& error) {
    // The checkpoint itself is safe; old ones that stay are tried again by the next save.
    job.report.warnings.push_back(std::string("old checkpoints were not all removed: ") + error.what());
    log_warning(job.report.warnings.back());
  }
}

void note_in_history(const std::filesystem::path& directory, SaveJob& job, const std::vector<RankReport>& reports,
                     const SaveOutcome& outcome) {
  try {
    // Columns, not rows: a job of thousands of ranks gets a line that is still quick to read.
    nlohmann::json ranks;
    const auto column = [&](const std::string& name, auto&& get) {
      auto& values = ranks[name] = nlohmann::json::array();
      for (const auto& report : reports) values.push_back(get(report));
    };
    column("node", [](const RankReport& report) { return report.telemetry.node; });
    column("bytes", [](const RankReport& report) { return report.telemetry.bytes; });
    for (const auto phase : kTimedPhases) {
      column(std::string(name(phase)) + "_s",
             [phase](const RankReport& report) { return report.telemetry.seconds[phase]; });
    }
    column("blocked_s", [](const RankReport& report) { return report.blocked_s; });
    column("memcpy_bytes_per_s", [](const RankReport& report) { return report.memcpy_bytes_per_s; });
    nlohmann::json failures = nlohmann::json::array();
    for (const auto& failure : outcome.failures) {
      failures.push_back({{"rank", failure.rank}, {"kind", name(failure.kind)}, {"message", failure.message}});
    }
    store::append_history(directory, {{"tag", job.options.tag},
                                      {"step", job.run.step ? nlohmann::json(*job.run.step) : nlohmann::json(nullptr)},
                                      {"sequence", job.run.sequence},
                                      {"generation", job.generation},
                                      {"owner", store::text_of(job.ownership->owner())},
                                      {"reason", job.options.reason},
                                      {"saved_at", job.run.saved_at},
                                      {"ended_at", utc_now_ms()},
                                      {"outcome", outcome.failures.empty() ? "published" : "failed"},
                                      {"phase", outcome.failures.empty() ? "" : name(outcome.phase)},
                                      {"failures", std::move(failures)},
                                      {"async", job.in_background},
                                      {"payload_bytes", job.plan->layout.payload_bytes},
                                      {"engine", job.run.details.value("engine", "")},
                                      {"plan_reused", job.report.plan_reused},
                                      {"total_s", job.watch.seconds()},
                                      {"publish_s", outcome.publish_s},
                                      {"removed_tags", job.report.removed_tags},
                                      {"ranks", std::move(ranks)}});
  } catch (const std::exception& error) {
    job.report.warnings.push_back(std::string("the history was not written: ") + error.what());
    log_warning(job.report.warnings.back());
  }
}

}  // namespace muster::save
