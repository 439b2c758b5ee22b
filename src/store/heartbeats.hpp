#pragma once
// What every rank is at, as a file beside the checkpoints that each rank writes its own line of: so that a rank that
// waits for others can say which, and what they were seen doing last, without a word from them. Best effort: no call
// here fails, and nothing is made durable.

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/posix.hpp"
#include "model/save_phase.hpp"

namespace muster::store {

// What a rank's program is at, and what its background saves are: they go on side by side.
enum class HeartbeatLane : std::uint8_t { foreground, background };

struct Progress {
  std::uint64_t save = 0;  // number of the save among those of this job, counted from 1; 0: none yet
  SavePhase phase = SavePhase::agree;
  std::uint64_t bytes = 0;  // written of this rank's share
  std::uint64_t total_bytes = 0;
  std::int64_t unix_ns = 0;  // when it was posted; filled in by post()
};

class Heartbeats {
 public:
  // job: tells this job's lines from those of an earlier one in the same directory.
  Heartbeats(std::filesystem::path directory, std::uint64_t job, int rank, int ranks)
      : path_(std::move(directory) / ".progress"), job_(job), rank_(rank), ranks_(ranks) {}

  // Thread-safe, as all calls here. The file is made with the first post that finds the directory.
  void post(HeartbeatLane lane, const Progress& progress);
  // The same, at most once in so many seconds.
  void post_sometimes(HeartbeatLane lane, const Progress& progress, double interval_s = 1);
  // Of every rank; nothing where it has not posted in this job.
  [[nodiscard]] std::vector<std::optional<Progress>> read(HeartbeatLane lane) const;
  // The ranks that are not yet as far as `here`, a line each of a message: "rank 1: in write, 3 of 7 bytes, 12 s ago".
  // At most `most` of them by name.
  [[nodiscard]] std::string missing(HeartbeatLane lane, const Progress& here, std::size_t most = 16) const;
  // Of one rank.
  [[nodiscard]] std::optional<Progress> read(HeartbeatLane lane, int rank) const;

 private:
  [[nodiscard]] std::optional<Progress> read(const posix::File& file, HeartbeatLane lane, std::size_t rank) const;

  const std::filesystem::path path_;
  const std::uint64_t job_;
  const int rank_;
  const int ranks_;
  std::mutex mutex_;
  std::optional<posix::File> file_;
  std::array<std::chrono::steady_clock::time_point, 2> posted_at_{};
};

}  // namespace muster::store
