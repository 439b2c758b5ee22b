#include "save/progress_deadline.hpp"

#include <fmt/format.h>

#include <utility>

namespace muster::save {

bool ProgressDeadline::is_over() {
  const bool was_away = asked_.seconds() > timeout_s_ / 2;
  asked_ = Stopwatch();
  if (was_away) heard_ = Stopwatch();
  if (looked_.seconds() >= timeout_s_ / 10) {
    looked_ = Stopwatch();
    listen();
  }
  return who_gave_up_ || heard_.seconds() >= timeout_s_;
}

void ProgressDeadline::listen() {
  std::vector<std::optional<store::Progress>> posts;
  if (listens_to_ == ListensTo::all) {
    posts = heartbeats_.read(lane_);
  } else {
    posts.push_back(heartbeats_.read(lane_, 0));
  }
  std::vector<std::int64_t> posted_ns(posts.size());
  for (std::size_t rank = 0; rank < posts.size(); ++rank) {
    const auto& post = posts[rank];
    if (!post || static_cast<int>(rank) == rank_) continue;
    posted_ns[rank] = post->unix_ns;
    if (post->phase == SavePhase::gave_up) who_gave_up_ = static_cast<int>(rank);
  }
  if (posted_ns != posted_ns_) heard_ = Stopwatch();
  posted_ns_ = std::move(posted_ns);
}

std::string ProgressDeadline::why() const {
  if (who_gave_up_) return fmt::format("rank {} gave up waiting", *who_gave_up_);
  return fmt::format("nothing was heard for {:.0f} s", heard_.seconds());
}

}  // namespace muster::save
