#pragma once
// How learning-rate schedulers are saved and loaded, and references to them.

#include <torch/torch.h>

#include <concepts>
#include <functional>
#include <memory>
#include <muster/export.hpp>
#include <muster/libtorch_version.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>

namespace MUSTER_EXPORT muster {

// The functions that save and load a learning-rate scheduler. All of them are local and run on every rank. A program
// specialises the template for its own scheduler, or its class has `nlohmann::json state_dict() const` and
// `void load_state_dict(const nlohmann::json&)`, which the default uses.
// * save returns the state as JSON.
// * load restores the state. It runs after all tensors and the optimizer are restored on all ranks.
// * check is optional. It throws if `load` would throw, and changes nothing. It runs before the load changes anything.
//   A state that does not fit therefore leaves the model, the optimizer and the scheduler unchanged. The default calls
//   `void check_state_dict(const nlohmann::json&) const` if the class has it.
// * name is optional. It returns the name of this kind of scheduler in the file. Default: "custom". A load into a
//   scheduler of another name is a mismatch.
template <class Scheduler>
struct SchedulerTraits {
  static nlohmann::json save(const Scheduler& scheduler) { return scheduler.state_dict(); }
  static void check(const Scheduler& scheduler, const nlohmann::json& state) {
    if constexpr (requires { scheduler.check_state_dict(state); }) scheduler.check_state_dict(state);
  }
  static void load(Scheduler& scheduler, const nlohmann::json& state) { scheduler.load_state_dict(state); }
};

// StepLR of LibTorch. The step count is saved and loaded. step_size and gamma are saved, and a load with other values
// is a mismatch. The learning rates are options of the optimizer.
template <>
struct SchedulerTraits<torch::optim::StepLR> {
  static std::string name(const torch::optim::StepLR& scheduler);
  static nlohmann::json save(const torch::optim::StepLR& scheduler);
  static void check(const torch::optim::StepLR& scheduler, const nlohmann::json& state);
  static void load(torch::optim::StepLR& scheduler, const nlohmann::json& state);
};

// A reference to the base class LRScheduler. A StepLR is saved as a StepLR. Of any other scheduler only the step count
// is saved.
template <>
struct SchedulerTraits<torch::optim::LRScheduler> {
  static std::string name(const torch::optim::LRScheduler& scheduler);
  static nlohmann::json save(const torch::optim::LRScheduler& scheduler);
  static void check(const torch::optim::LRScheduler& scheduler, const nlohmann::json& state);
  static void load(torch::optim::LRScheduler& scheduler, const nlohmann::json& state);
};

// A scheduler that is derived from LRScheduler and has no state but the step count.
template <class Scheduler>
requires std::derived_from<Scheduler, torch::optim::LRScheduler> &&
    (!requires(const Scheduler& s) { s.state_dict(); }) struct SchedulerTraits<Scheduler>
    : SchedulerTraits<torch::optim::LRScheduler> {
};

#if MUSTER_HAS_REDUCE_LR_ON_PLATEAU
// ReduceLROnPlateau of LibTorch, with the names of PyTorch's state_dict. best, cooldown_counter, num_bad_epochs and
// last_epoch are saved and loaded. mode, factor, patience, threshold, threshold_mode, cooldown, min_lrs and eps are
// saved, and a load with other values is a mismatch.
template <>
struct SchedulerTraits<torch::optim::ReduceLROnPlateauScheduler> {
  static std::string name(const torch::optim::ReduceLROnPlateauScheduler& scheduler);
  static nlohmann::json save(const torch::optim::ReduceLROnPlateauScheduler& scheduler);
  static void check(const torch::optim::ReduceLROnPlateauScheduler& scheduler, const nlohmann::json& state);
  static void load(torch::optim::ReduceLROnPlateauScheduler& scheduler, const nlohmann::json& state);
};

// A scheduler that is derived from ReduceLROnPlateauScheduler and has no further state.
template <class Scheduler>
requires std::derived_from<Scheduler, torch::optim::ReduceLROnPlateauScheduler> &&
    (!requires(const Scheduler& s) { s.state_dict(); }) struct SchedulerTraits<Scheduler>
    : SchedulerTraits<torch::optim::ReduceLROnPlateauScheduler> {
};
#endif

// Whether T is a shared_ptr or a unique_ptr.
template <class T>
inline constexpr bool is_smart_pointer = false;
template <class T>
inline constexpr bool is_smart_pointer<std::shared_ptr<T>> = true;
template <class T>
inline constexpr bool is_smart_pointer<std::unique_ptr<T>> = true;

// A scheduler to save or load: an object that SchedulerTraits supports, or a shared_ptr or unique_ptr to one. Default:
// not given. The rules for pointers are those of ModelRef.
class SchedulerRef {
 public:
  SchedulerRef() = default;
  template <class S>
  requires(!std::same_as<S, SchedulerRef> && !std::is_const_v<S> && !is_smart_pointer<S>) SchedulerRef(S& scheduler) {
    bind(&scheduler);
  }
  template <class S>
  SchedulerRef(const std::shared_ptr<S>& scheduler) {
    bind(scheduler.get());
  }
  template <class S>
  SchedulerRef(const std::unique_ptr<S>& scheduler) {
    bind(scheduler.get());
  }
  [[nodiscard]] bool given() const { return given_; }
  [[nodiscard]] bool null() const { return !save_; }  // not given, or a null pointer

  // Local. They call the traits of the scheduler. They must not be called if null().
  [[nodiscard]] std::string name() const { return name_(); }
  [[nodiscard]] nlohmann::json save() const { return save_(); }
  void check(const nlohmann::json& state) const { check_(state); }
  void load(const nlohmann::json& state) const { load_(state); }

 private:
  template <class S>
  void bind(S* scheduler) {
    using Traits = SchedulerTraits<S>;
    given_ = true;
    if (scheduler == nullptr) return;
    name_ = [scheduler]() -> std::string {
      if constexpr (requires { Traits::name(*scheduler); }) {
        return Traits::name(*scheduler);
      } else {
        return "custom";
      }
    };
    save_ = [scheduler] { return Traits::save(*scheduler); };
    check_ = [scheduler](const nlohmann::json& state) {
      if constexpr (requires { Traits::check(*scheduler, state); }) Traits::check(*scheduler, state);
    };
    load_ = [scheduler](const nlohmann::json& state) { Traits::load(*scheduler, state); };
  }

  bool given_ = false;
  std::function<std::string()> name_;
  std::function<nlohmann::json()> save_;
  std::function<void(const nlohmann::json&)> check_;
  std::function<void(const nlohmann::json&)> load_;
};

}  // namespace muster
