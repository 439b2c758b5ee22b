#include "policy/save_clock.hpp"

#include <algorithm>
#include <vector>

namespace muster::policy {

namespace {

constexpr std::size_t kCosts = 5;
constexpr std::size_t kGaps = 100;
constexpr double kSlack = 1.5;       // a save may take longer than those before
constexpr double kShareOfJob = 0.1;  // what a guess or the margin may be of the job's time

}  // namespace

SaveClock::SaveClock(const Settings& settings, double now_s) : settings_(settings), last_decision_s_(now_s) {
  if (!settings_.end_s) return;
  const double most_s = std::max(0.0, kShareOfJob * (*settings_.end_s - now_s));
  settings_.first_save_s = std::min(settings_.first_save_s, most_s);
  settings_.end_margin_s = std::min(settings_.end_margin_s, most_s);
}

void SaveClock::note_call(double now_s) {
  if (last_call_s_) {
    gaps_s_.push_back(now_s - *last_call_s_);
    if (gaps_s_.size() > kGaps) gaps_s_.pop_front();
  }
  last_call_s_ = now_s;
}

void SaveClock::note_decision(double now_s) { last_decision_s_ = now_s; }

void SaveClock::note_save(double now_s, double save_s, double blocked_s) {
  costs_.push_back({.save_s = save_s, .blocked_s = blocked_s});
  if (costs_.size() > kCosts) costs_.pop_front();
  last_call_s_ = now_s;  // what the loop waited is no part of a step
}

double SaveClock::longest_save_s() const {
  if (costs_.empty()) return settings_.first_save_s;
  return std::ranges::max_element(costs_, {}, &Cost::save_s)->save_s;
}

// 0: none.
double SaveClock::interval_s() const {
  if (settings_.mean_time_between_failures_s <= 0) return settings_.every_s;
  double blocked_s = settings_.first_save_s;
  if (!costs_.empty()) {
    std::vector<double> all;
    for (const auto& cost : costs_) all.push_back(cost.blocked_s);
    std::ranges::sort(all);
    blocked_s = all[all.size() / 2];
  }
  // A save that costs nothing measurable need not be made all the time.
  const double best_s =
      save_interval_s(std::max(blocked_s, 1e-3), settings_.mean_time_between_failures_s, settings_.max_save_share);
  return settings_.every_s > 0 ? std::min(best_s, settings_.every_s) : best_s;
}

SaveClock::Due SaveClock::due(double now_s) const {
  if (const auto left = left_s(now_s)) {
    const double longest_gap_s = gaps_s_.empty() ? 0 : std::ranges::max(gaps_s_);
    const double save_s = longest_save_s();
    // What is not called for now is called for one call later, and begins one more call later.
    const double saves_s = kSlack * save_s * (1 + settings_.saves_in_flight);
    if (*left <= 2 * longest_gap_s + saves_s + settings_.end_margin_s) {
      return {.reason = SaveReason::job_end, .first_s = *left, .second_s = save_s};
    }
  }
  const double since_s = now_s - last_decision_s_;
  const double every_s = interval_s();
  if (every_s <= 0 || since_s < every_s) return {};
  const bool by_minutes = settings_.every_s > 0 && every_s == settings_.every_s;
  return {.reason = by_minutes ? SaveReason::minutes : SaveReason::failures, .first_s = since_s, .second_s = every_s};
}

std::optional<double> SaveClock::left_s(double now_s) const {
  if (!settings_.end_s) return std::nullopt;
  return *settings_.end_s - now_s;
}

}  // namespace muster::policy
