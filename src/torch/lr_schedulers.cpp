// The library's own schedulers. LibTorch 1.13 gives no way to read or set their state.

#include <fmt/format.h>

#include <bit>
#include <limits>
#include <muster/torch.hpp>

namespace muster {

namespace {

using nlohmann::json;
using torch::optim::LRScheduler;
using torch::optim::StepLR;

// step_count_ is protected: a derived class may name it, and the member pointer is that of the base.
struct StepCount : LRScheduler {
  static unsigned& of(LRScheduler& scheduler) { return scheduler.*&StepCount::step_count_; }
  static unsigned of(const LRScheduler& scheduler) { return scheduler.*&StepCount::step_count_; }
};

// step_size_ and gamma_ of StepLR are private. Access is not checked in an explicit instantiation, so one that takes
// the member pointers as arguments may hand them out, through the friends that it defines.
const unsigned& step_size_of(const StepLR& scheduler);
const double& gamma_of(const StepLR& scheduler);
template <auto StepSize, auto Gamma>
struct StepLrMembers {
  friend const unsigned& step_size_of(const StepLR& scheduler) { return scheduler.*StepSize; }
  friend const double& gamma_of(const StepLR& scheduler) { return scheduler.*Gamma; }
};
template struct StepLrMembers<&StepLR::step_size_, &StepLR::gamma_>;

constexpr const char* kStepCount = "step_count";
constexpr const char* kStepSize = "step_size";
constexpr const char* kGamma = "gamma";

const json& member(const json& state, const char* name) {
  if (!state.is_object() || !state.contains(name)) {
    throw Error(ErrorKind::mismatch, fmt::format("the state of the scheduler has no '{}'", name));
  }
  return state[name];
}

unsigned count_in(const json& state, const char* name) {
  const auto& value = member(state, name);
  if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) ||
      value.get<std::uint64_t>() > std::numeric_limits<unsigned>::max()) {
    throw Error(ErrorKind::mismatch, fmt::format("'{}' of the scheduler is not a count", name));
  }
  return value.get<unsigned>();
}

double number_in(const json& state, const char* name) {
  const auto& value = member(state, name);
  if (!value.is_number()) throw Error(ErrorKind::mismatch, fmt::format("'{}' of the scheduler is not a number", name));
  return value.get<double>();
}

}  // namespace

std::string SchedulerTraits<LRScheduler>::name(const LRScheduler& scheduler) {
  return dynamic_cast<const StepLR*>(&scheduler) != nullptr ? "StepLR" : "LRScheduler";
}

json SchedulerTraits<LRScheduler>::save(const LRScheduler& scheduler) {
  json state{{kStepCount, StepCount::of(scheduler)}};
  if (const auto* step_lr = dynamic_cast<const StepLR*>(&scheduler)) {
    state[kStepSize] = step_size_of(*step_lr);
    state[kGamma] = gamma_of(*step_lr);
  }
  return state;
}

void SchedulerTraits<LRScheduler>::check(const LRScheduler& scheduler, const json& state) {
  count_in(state, kStepCount);
  const auto* step_lr = dynamic_cast<const StepLR*>(&scheduler);
  if (step_lr == nullptr) return;
  if (const auto saved = count_in(state, kStepSize); saved != step_size_of(*step_lr)) {
    throw Error(ErrorKind::mismatch,
                fmt::format("saved with step_size {}, and this StepLR has {}", saved, step_size_of(*step_lr)));
  }
  const auto saved = number_in(state, kGamma);
  const auto gamma = gamma_of(*step_lr);
  if (std::bit_cast<std::uint64_t>(saved) != std::bit_cast<std::uint64_t>(gamma)) {
    throw Error(ErrorKind::mismatch, fmt::format("saved with gamma {}, and this StepLR has {}", saved, gamma));
  }
}

void SchedulerTraits<LRScheduler>::load(LRScheduler& scheduler, const json& state) {
  check(scheduler, state);
  StepCount::of(scheduler) = count_in(state, kStepCount);
}

using AnyScheduler = SchedulerTraits<LRScheduler>;
std::string SchedulerTraits<StepLR>::name(const StepLR& scheduler) { return AnyScheduler::name(scheduler); }
json SchedulerTraits<StepLR>::save(const StepLR& scheduler) { return AnyScheduler::save(scheduler); }
void SchedulerTraits<StepLR>::check(const StepLR& scheduler, const json& state) {
  AnyScheduler::check(scheduler, state);
}
void SchedulerTraits<StepLR>::load(StepLR& scheduler, const json& state) { AnyScheduler::load(scheduler, state); }

}  // namespace muster
