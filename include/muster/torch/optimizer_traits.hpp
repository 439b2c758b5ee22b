#pragma once
// How optimizer classes are saved and loaded. A program specialises OptimizerTraits for an optimizer class of its own:
//
//   template <>
//   struct muster::OptimizerTraits<Lion> {
//     using Options = LionOptions;        // of each parameter group, derived from torch::optim::OptimizerOptions
//     using ParamState = LionParamState;  // of each parameter, derived from torch::optim::OptimizerParamState
//     static std::string name() { return "Lion"; }
//     static void visit_slots(auto& state, auto&& visit) { visit(Slot{"exp_avg"}, state.exp_avg); }
//     static void visit_options(auto& options, auto&& visit) {
//       visit("lr", options.lr);
//       visit("weight_decay", options.weight_decay);
//     }
//   };
//
// The state is then in <optimizer>/<key of the parameter>/<slot>, and the options are in <optimizer>/param_groups.
// ParamState and Options are default-constructible or copyable as LibTorch's are. All functions are local.

#include <torch/torch.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <muster/export.hpp>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace MUSTER_EXPORT muster {

// The shape of a slot: that of the parameter, one dimension with the elements of all parameters of the group, or 0-d.
// In a sharded job a slot of the parameter's shape is a shard as the parameter is.
enum class SlotShape : std::uint8_t { parameter, flat, single };

// A member of an optimizer's state of one parameter.
struct Slot {
  const char* name;
  SlotShape shape = SlotShape::parameter;
  // Whether the step of the optimizer takes the slot for granted if the parameter has a state. An undefined tensor of a
  // slot that is not required is not saved. Default: true.
  bool required = true;
};

template <class T>
using TorchOptional = std::remove_cvref_t<decltype(c10::make_optional(std::declval<T>()))>;

// The members that visit_slots and visit_options can be given.
using SlotValue = std::variant<torch::Tensor*, std::int64_t*, double*, std::deque<torch::Tensor>*,
                               TorchOptional<std::vector<torch::Tensor>>*>;
using OptionValue = std::variant<double*, bool*, std::int64_t*, std::string*, std::tuple<double, double>*,
                                 TorchOptional<double>*, TorchOptional<std::int64_t>*, TorchOptional<std::string>*>;

template <class Optimizer>
struct OptimizerTraits;

// An optimizer class as the library sees it; OptimizerClassOf implements it over traits.
class OptimizerClass {
 public:
  using State = torch::optim::OptimizerParamState;
  using Options = torch::optim::OptimizerOptions;
  using VisitSlot = std::function<void(const Slot&, const SlotValue&)>;
  using VisitOption = std::function<void(const char* name, const OptionValue&)>;

  OptimizerClass() = default;
  virtual ~OptimizerClass() = default;
  OptimizerClass(const OptimizerClass&) = delete;
  OptimizerClass& operator=(const OptimizerClass&) = delete;

  [[nodiscard]] virtual std::string name() const = 0;
  // Whether these are of the classes of the traits. The other functions require it.
  [[nodiscard]] virtual bool fits(const State& state) const = 0;
  [[nodiscard]] virtual bool fits(const Options& options) const = 0;
  [[nodiscard]] virtual std::unique_ptr<State> make_state() const = 0;
  [[nodiscard]] virtual std::unique_ptr<State> copy(const State& state) const = 0;
  [[nodiscard]] virtual std::unique_ptr<Options> copy(const Options& options) const = 0;
  virtual void assign(Options& to, const Options& from) const = 0;
  virtual void visit_slots(State& state, const VisitSlot& visit) const = 0;
  virtual void visit_options(Options& options, const VisitOption& visit) const = 0;
};

template <class Traits>
class OptimizerClassOf final : public OptimizerClass {
 public:
  static const OptimizerClassOf& instance() {
    static const OptimizerClassOf only;
    return only;
  }
  [[nodiscard]] std::string name() const override { return Traits::name(); }
  [[nodiscard]] bool fits(const State& state) const override {
    return dynamic_cast<const typename Traits::ParamState*>(&state) != nullptr;
  }
  [[nodiscard]] bool fits(const Options& options) const override {
    return dynamic_cast<const typename Traits::Options*>(&options) != nullptr;
  }
  [[nodiscard]] std::unique_ptr<State> make_state() const override {
    return std::make_unique<typename Traits::ParamState>();
  }
  [[nodiscard]] std::unique_ptr<State> copy(const State& state) const override {
    return std::make_unique<typename Traits::ParamState>(dynamic_cast<const typename Traits::ParamState&>(state));
  }
  [[nodiscard]] std::unique_ptr<Options> copy(const Options& options) const override {
    return std::make_unique<typename Traits::Options>(dynamic_cast<const typename Traits::Options&>(options));
  }
  void assign(Options& to, const Options& from) const override {
    dynamic_cast<typename Traits::Options&>(to) = dynamic_cast<const typename Traits::Options&>(from);
  }
  void visit_slots(State& state, const VisitSlot& visit) const override {
    Traits::visit_slots(dynamic_cast<typename Traits::ParamState&>(state),
                        [&](const Slot& slot, auto& value) { visit(slot, &value); });
  }
  void visit_options(Options& options, const VisitOption& visit) const override {
    Traits::visit_options(dynamic_cast<typename Traits::Options&>(options),
                          [&](const char* name, auto& value) { visit(name, &value); });
  }
};

// The class of an optimizer for which there are traits; null for others.
template <class Optimizer>
const OptimizerClass* optimizer_class() {
  if constexpr (requires { typename OptimizerTraits<Optimizer>::ParamState; }) {
    return &OptimizerClassOf<OptimizerTraits<Optimizer>>::instance();
  } else {
    return nullptr;
  }
}

}  // namespace muster
