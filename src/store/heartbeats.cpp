#include "store/heartbeats.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <muster/error.hpp>
#include <span>
#include <tuple>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/narrow.hpp"

namespace muster::store {

namespace {

// A page a rank: on a shared file system no two ranks write to one.
constexpr std::uint64_t kStrideBytes = 4096;

struct Line {
  std::uint64_t job = 0;
  Progress progress;
};

std::uint64_t place_of(HeartbeatLane lane, std::uint64_t rank) {
  return rank * kStrideBytes + (lane == HeartbeatLane::background ? kStrideBytes / 2 : 0);
}

std::string told(int rank, const std::optional<Progress>& progress, std::uint64_t save) {
  if (!progress) return fmt::format("rank {}: not seen in any save of this job", rank);
  const double ago_s = static_cast<double>(unix_ns() - progress->unix_ns) / 1e9;
  if (progress->save < save) {
    return fmt::format("rank {}: not seen in this save; last in {} of the save {} before it, {:.0f} s ago", rank,
                       name(progress->phase), save - progress->save, ago_s);
  }
  auto text = fmt::format("rank {}: last seen in phase {}", rank, name(progress->phase));
  if (progress->total_bytes > 0) {
    text += fmt::format(", {} of {} bytes written", progress->bytes, progress->total_bytes);
  }
  return text + fmt::format(", {:.0f} s ago", ago_s);
}

}  // namespace

void Heartbeats::post(HeartbeatLane lane, const Progress& progress) {
  const std::lock_guard lock(mutex_);
  try {
    if (!file_) {
      if (!std::filesystem::exists(path_.parent_path())) return;
      file_.emplace(path_, O_RDWR | O_CREAT);
    }
    Line line{job_, progress};
    line.progress.unix_ns = unix_ns();
    file_->write_at(std::as_bytes(std::span(&line, 1)), place_of(lane, narrow<std::uint64_t>(rank_)));
    posted_at_.at(static_cast<std::size_t>(lane)) = std::chrono::steady_clock::now();
  } catch (const std::exception&) {
    // It only helps to explain what goes wrong elsewhere.
  }
}

void Heartbeats::post_sometimes(HeartbeatLane lane, const Progress& progress, double interval_s) {
  {
    const std::lock_guard lock(mutex_);
    const auto since = std::chrono::steady_clock::now() - posted_at_.at(static_cast<std::size_t>(lane));
    if (std::chrono::duration<double>(since).count() < interval_s) return;
  }
  post(lane, progress);
}

std::vector<std::optional<Progress>> Heartbeats::read(HeartbeatLane lane) const {
  std::vector<std::optional<Progress>> all(narrow<std::size_t>(ranks_));
  try {
    const posix::File file(path_, O_RDONLY);
    for (std::size_t rank = 0; rank < all.size(); ++rank) all[rank] = read(file, lane, rank);
  } catch (const std::exception&) {
    // As good as nobody seen.
  }
  return all;
}

std::optional<Progress> Heartbeats::read(HeartbeatLane lane, int rank) const {
  try {
    return read(posix::File(path_, O_RDONLY), lane, narrow<std::size_t>(rank));
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<Progress> Heartbeats::read(const posix::File& file, HeartbeatLane lane, std::size_t rank) const {
  if (place_of(lane, rank) + sizeof(Line) > file.size()) return std::nullopt;
  Line line;
  file.read_at(std::as_writable_bytes(std::span(&line, 1)), place_of(lane, rank));
  if (line.job != job_) return std::nullopt;
  return line.progress;
}

std::string Heartbeats::missing(HeartbeatLane lane, const Progress& here, std::size_t most) const {
  const auto place = [](const Progress& progress) { return std::tuple(progress.save, progress.phase); };
  std::string text;
  std::size_t count = 0;
  const auto all = read(lane);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank] && place(*all[rank]) >= place(here)) continue;
    if (count++ >= most) continue;
    if (!text.empty()) text += "; ";
    text += told(narrow<int>(rank), all[rank], here.save);
  }
  if (count > most) text += fmt::format("; and {} ranks more", count - most);
  return text;
}

}  // namespace muster::store
