#pragma once
// The six optimizers as data: the slots of a parameter's state and the options of a group, each named once, in the
// spelling of Python's state_dict. Saving, loading and JSON all walk these lists.

#include <torch/torch.h>

#include <muster/torch/optimizer_ref.hpp>
#include <muster/torch/optimizer_traits.hpp>
#include <string>

namespace muster::torch_adapter {

struct SgdKind {
  using Optimizer = torch::optim::SGD;
  using Options = torch::optim::SGDOptions;
  using ParamState = torch::optim::SGDParamState;
  static std::string name() { return "SGD"; }
  template <class S, class V>
  static void visit_slots(S& state, V&& visit) {
    visit(Slot{"momentum_buffer", SlotShape::parameter, true}, state.momentum_buffer());
  }
  template <class O, class V>
  static void visit_options(O& options, V&& visit) {
    visit("lr", options.lr());
    visit("momentum", options.momentum());
    visit("dampening", options.dampening());
    visit("weight_decay", options.weight_decay());
    visit("nesterov", options.nesterov());
  }
};

// Adam and AdamW have the same state and options, but no common base class.
template <class OptimizerClass, class OptionsClass, class StateClass>
struct AdamLikeKind {
  using Optimizer = OptimizerClass;
  using Options = OptionsClass;
  using ParamState = StateClass;
  template <class S, class V>
  static void visit_slots(S& state, V&& visit) {
    visit(Slot{"step", SlotShape::single, true}, state.step());
    visit(Slot{"exp_avg", SlotShape::parameter, true}, state.exp_avg());
    visit(Slot{"exp_avg_sq", SlotShape::parameter, true}, state.exp_avg_sq());
    visit(Slot{"max_exp_avg_sq", SlotShape::parameter, false}, state.max_exp_avg_sq());
  }
  template <class O, class V>
  static void visit_options(O& options, V&& visit) {
    visit("lr", options.lr());
    visit("betas", options.betas());
    visit("eps", options.eps());
    visit("weight_decay", options.weight_decay());
    visit("amsgrad", options.amsgrad());
  }
};

struct AdamKind : AdamLikeKind<torch::optim::Adam, torch::optim::AdamOptions, torch::optim::AdamParamState> {
  static std::string name() { return "Adam"; }
};

struct AdamWKind : AdamLikeKind<torch::optim::AdamW, torch::optim::AdamWOptions, torch::optim::AdamWParamState> {
  static std::string name() { return "AdamW"; }
};

struct AdagradKind {
  using Optimizer = torch::optim::Adagrad;
  using Options = torch::optim::AdagradOptions;
  using ParamState = torch::optim::AdagradParamState;
  static std::string name() { return "Adagrad"; }
  template <class S, class V>
  static void visit_slots(S& state, V&& visit) {
    visit(Slot{"step", SlotShape::single, true}, state.step());
    visit(Slot{"sum", SlotShape::parameter, true}, state.sum());
  }
  template <class O, class V>
  static void visit_options(O& options, V&& visit) {
    visit("lr", options.lr());
    visit("lr_decay", options.lr_decay());
    visit("weight_decay", options.weight_decay());
    visit("initial_accumulator_value", options.initial_accumulator_value());
    visit("eps", options.eps());
  }
};

struct RmspropKind {
  using Optimizer = torch::optim::RMSprop;
  using Options = torch::optim::RMSpropOptions;
  using ParamState = torch::optim::RMSpropParamState;
  static std::string name() { return "RMSprop"; }
  template <class S, class V>
  static void visit_slots(S& state, V&& visit) {
    visit(Slot{"step", SlotShape::single, true}, state.step());
    visit(Slot{"square_avg", SlotShape::parameter, true}, state.square_avg());
    visit(Slot{"momentum_buffer", SlotShape::parameter, false}, state.momentum_buffer());
    visit(Slot{"grad_avg", SlotShape::parameter, false}, state.grad_avg());
  }
  template <class O, class V>
  static void visit_options(O& options, V&& visit) {
    visit("lr", options.lr());
    visit("alpha", options.alpha());
    visit("eps", options.eps());
    visit("weight_decay", options.weight_decay());
    visit("momentum", options.momentum());
    visit("centered", options.centered());
  }
};

// LBFGS keeps one state for all parameters, on the first of them.
struct LbfgsKind {
  using Optimizer = torch::optim::LBFGS;
  using Options = torch::optim::LBFGSOptions;
  using ParamState = torch::optim::LBFGSParamState;
  static std::string name() { return "LBFGS"; }
  template <class S, class V>
  static void visit_slots(S& state, V&& visit) {
    visit(Slot{"func_evals", SlotShape::single, true}, state.func_evals());
    visit(Slot{"n_iter", SlotShape::single, true}, state.n_iter());
    visit(Slot{"t", SlotShape::single, true}, state.t());
    visit(Slot{"prev_loss", SlotShape::single, true}, state.prev_loss());
    visit(Slot{"d", SlotShape::flat, false}, state.d());
    visit(Slot{"H_diag", SlotShape::single, false}, state.H_diag());
    visit(Slot{"prev_flat_grad", SlotShape::flat, false}, state.prev_flat_grad());
    visit(Slot{"old_dirs", SlotShape::flat, false}, state.old_dirs());
    visit(Slot{"old_stps", SlotShape::flat, false}, state.old_stps());
    visit(Slot{"ro", SlotShape::single, false}, state.ro());
    visit(Slot{"al", SlotShape::single, false}, state.al());
  }
  template <class O, class V>
  static void visit_options(O& options, V&& visit) {
    visit("lr", options.lr());
    visit("max_iter", options.max_iter());
    visit("max_eval", options.max_eval());
    visit("tolerance_grad", options.tolerance_grad());
    visit("tolerance_change", options.tolerance_change());
    visit("history_size", options.history_size());
    visit("line_search_fn", options.line_search_fn());
  }
};

// The class of an optimizer: that of its traits, or one of the six. Null for any other.
inline const OptimizerClass* class_of(const OptimizerRef& optimizer) {
  if (optimizer.optimizer_class() != nullptr) return optimizer.optimizer_class();
  const OptimizerClass* found = nullptr;
  const auto look = [&]<class Kind>(Kind) {
    if (found == nullptr && dynamic_cast<const typename Kind::Optimizer*>(optimizer.get()) != nullptr) {
      found = &OptimizerClassOf<Kind>::instance();
    }
  };
  look(SgdKind{});
  look(AdamKind{});
  look(AdamWKind{});
  look(AdagradKind{});
  look(RmspropKind{});
  look(LbfgsKind{});
  return found;
}

// LBFGS keeps one state for all parameters of a group.
inline bool has_one_state(const OptimizerClass& kind) { return &kind == &OptimizerClassOf<LbfgsKind>::instance(); }

}  // namespace muster::torch_adapter
