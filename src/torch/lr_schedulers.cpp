// The library's own schedulers. LibTorch gives no way to read or set their state.

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <muster/torch.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

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

std::string shown(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

const json& member(const json& state, const char* name) {
  if (!state.is_object() || !state.contains(name)) {
    throw Error(ErrorKind::mismatch, fmt::format("the state of the scheduler has no '{}'", name));
  }
  return state[name];
}

template <class Integer>
Integer integer_in(const json& state, const char* name) {
  const auto& value = member(state, name);
  const bool fits = value.is_number_unsigned()
                        ? std::in_range<Integer>(value.get<std::uint64_t>())
                        : value.is_number_integer() && std::in_range<Integer>(value.get<std::int64_t>());
  if (!fits) throw Error(ErrorKind::mismatch, fmt::format("'{}' of the scheduler cannot be {}", name, shown(value)));
  return value.get<Integer>();
}

bool same_bits(double a, double b) { return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b); }

bool same_setting(const json& a, const json& b) {
  if (a.is_array() && b.is_array()) return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_setting);
  if (a.is_number_float() && b.is_number_float()) return same_bits(a.get<double>(), b.get<double>());
  return a == b;
}

// Throws unless the saved state has all of these settings, with these values.
void require_settings(const json& settings, const json& state, const char* scheduler) {
  for (const auto& [name, here] : settings.items()) {
    const auto& saved = member(state, name.c_str());
    if (same_setting(saved, here)) continue;
    throw Error(ErrorKind::mismatch,
                fmt::format("saved with {} {}, and this {} has {}", name, shown(saved), scheduler, shown(here)));
  }
}

json settings_of(const StepLR& scheduler) {
  return {{"step_size", step_size_of(scheduler)}, {"gamma", gamma_of(scheduler)}};
}

}  // namespace

std::string SchedulerTraits<LRScheduler>::name(const LRScheduler& scheduler) {
  return dynamic_cast<const StepLR*>(&scheduler) != nullptr ? "StepLR" : "LRScheduler";
}

json SchedulerTraits<LRScheduler>::save(const LRScheduler& scheduler) {
  json state{{kStepCount, StepCount::of(scheduler)}};
  if (const auto* step_lr = dynamic_cast<const StepLR*>(&scheduler)) state.update(settings_of(*step_lr));
  return state;
}

void SchedulerTraits<LRScheduler>::check(const LRScheduler& scheduler, const json& state) {
  integer_in<unsigned>(state, kStepCount);
  if (const auto* step_lr = dynamic_cast<const StepLR*>(&scheduler)) {
    require_settings(settings_of(*step_lr), state, "StepLR");
  }
}

void SchedulerTraits<LRScheduler>::load(LRScheduler& scheduler, const json& state) {
  check(scheduler, state);
  StepCount::of(scheduler) = integer_in<unsigned>(state, kStepCount);
}

using AnyScheduler = SchedulerTraits<LRScheduler>;
std::string SchedulerTraits<StepLR>::name(const StepLR& scheduler) { return AnyScheduler::name(scheduler); }
json SchedulerTraits<StepLR>::save(const StepLR& scheduler) { return AnyScheduler::save(scheduler); }
void SchedulerTraits<StepLR>::check(const StepLR& scheduler, const json& state) {
  AnyScheduler::check(scheduler, state);
}
void SchedulerTraits<StepLR>::load(StepLR& scheduler, const json& state) { AnyScheduler::load(scheduler, state); }

#if MUSTER_HAS_REDUCE_LR_ON_PLATEAU
namespace {

using Plateau = torch::optim::ReduceLROnPlateauScheduler;

// Its members are private, and are reached as those of StepLR are.
using PlateauSettings = std::tuple<const Plateau::SchedulerMode&, const float&, const int&, const double&,
                                   const Plateau::ThresholdMode&, const int&, const std::vector<float>&, const double&>;
PlateauSettings members_of_settings(const Plateau& scheduler);
template <auto... Members>
struct PlateauSettingsMembers {
  friend PlateauSettings members_of_settings(const Plateau& scheduler) { return {scheduler.*Members...}; }
};
template struct PlateauSettingsMembers<&Plateau::mode, &Plateau::factor, &Plateau::patience, &Plateau::threshold,
                                       &Plateau::threshold_mode, &Plateau::cooldown, &Plateau::min_lrs, &Plateau::eps>;

template <class Float, class Integer>
struct PlateauPosition {
  Float best;
  Integer cooldown_counter;
  Integer num_bad_epochs;
  Integer last_epoch;
};
PlateauPosition<float&, int&> position_of(Plateau& scheduler);
PlateauPosition<float, int> position_of(const Plateau& scheduler);
template <auto... Members>
struct PlateauPositionMembers {
  friend PlateauPosition<float&, int&> position_of(Plateau& scheduler) { return {scheduler.*Members...}; }
  friend PlateauPosition<float, int> position_of(const Plateau& scheduler) { return {scheduler.*Members...}; }
};
template struct PlateauPositionMembers<&Plateau::best, &Plateau::cooldown_counter, &Plateau::num_bad_epochs,
                                       &Plateau::last_epoch>;

json settings_of(const Plateau& scheduler) {
  const auto& [mode, factor, patience, threshold, threshold_mode, cooldown, min_lrs, eps] =
      members_of_settings(scheduler);
  return {{"mode", mode == Plateau::min ? "min" : "max"},
          {"factor", factor},
          {"patience", patience},
          {"threshold", threshold},
          {"threshold_mode", threshold_mode == Plateau::rel ? "rel" : "abs"},
          {"cooldown", cooldown},
          {"min_lrs", min_lrs},
          {"eps", eps}};
}

float float_in(const json& state, const char* name) {
  const auto& value = member(state, name);
  const auto number = value.is_number() ? value.get<double>() : 0.0;
  const auto result = static_cast<float>(number);
  if (!value.is_number() || !same_bits(static_cast<double>(result), number)) {
    throw Error(ErrorKind::mismatch, fmt::format("'{}' of the scheduler cannot be {}", name, shown(value)));
  }
  return result;
}

PlateauPosition<float, int> position_in(const json& state) {
  return {.best = float_in(state, "best"),
          .cooldown_counter = integer_in<int>(state, "cooldown_counter"),
          .num_bad_epochs = integer_in<int>(state, "num_bad_epochs"),
          .last_epoch = integer_in<int>(state, "last_epoch")};
}

}  // namespace

std::string SchedulerTraits<Plateau>::name(const Plateau& /*scheduler*/) { return "ReduceLROnPlateau"; }

json SchedulerTraits<Plateau>::save(const Plateau& scheduler) {
  auto state = settings_of(scheduler);
  const auto position = position_of(scheduler);
  state["best"] = position.best;
  state["cooldown_counter"] = position.cooldown_counter;
  state["num_bad_epochs"] = position.num_bad_epochs;
  state["last_epoch"] = position.last_epoch;
  return state;
}

void SchedulerTraits<Plateau>::check(const Plateau& scheduler, const json& state) {
  require_settings(settings_of(scheduler), state, "ReduceLROnPlateau");
  position_in(state);
}

void SchedulerTraits<Plateau>::load(Plateau& scheduler, const json& state) {
  check(scheduler, state);
  const auto saved = position_in(state);
  const auto place = position_of(scheduler);
  place.best = saved.best;
  place.cooldown_counter = saved.cooldown_counter;
  place.num_bad_epochs = saved.num_bad_epochs;
  place.last_epoch = saved.last_epoch;
}
#endif

}  // namespace muster
