#pragma once
// The six optimizers as data: the slots of a parameter's state and the options of a group, each named once, in the
// spelling of Python's state_dict. Saving, loading and JSON all walk these lists.

#include <torch/torch.h>

#include <muster/error.hpp>
#include <string>
#include <type_traits>
#include <typeinfo>

namespace muster::torch_adapter {

// What shape a slot has.
enum class SlotShape { parameter, flat, single };  // the parameter's; [elements of the group]; 0-d

struct Slot {
  const char* name;
  SlotShape shape;
  bool required;  // the optimizer's step takes it for granted where there is a state at all
};

struct SgdKind {
  using Optimizer = torch::optim::SGD;
  using Options = torch::optim::SGDOptions;
  using ParamState = torch::optim::SGDParamState;
  static constexpr const char* kName = "SGD";
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
  static constexpr const char* kName = "Adam";
};

struct AdamWKind : AdamLikeKind<torch::optim::AdamW, torch::optim::AdamWOptions, torch::optim::AdamWParamState> {
  static constexpr const char* kName = "AdamW";
};

struct AdagradKind {
  using Optimizer = torch::optim::Adagrad;
  using Options = torch::optim::AdagradOptions;
  using ParamState = torch::optim::AdagradParamState;
  static constexpr const char* kName = "Adagrad";
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
  static constexpr const char* kName = "RMSprop";
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
  static constexpr const char* kName = "LBFGS";
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

// Calls `use` with the kind of this optimizer. Throws Error{usage} for a class that is none of the six.
template <class F>
decltype(auto) with_kind(const torch::optim::Optimizer& optimizer, F&& use) {
  const auto is = [&optimizer]<class Kind>(Kind) {
    return dynamic_cast<const typename Kind::Optimizer*>(&optimizer) != nullptr;
  };
  if (is(SgdKind{})) return use(SgdKind{});
  if (is(AdamKind{})) return use(AdamKind{});
  if (is(AdamWKind{})) return use(AdamWKind{});
  if (is(AdagradKind{})) return use(AdagradKind{});
  if (is(RmspropKind{})) return use(RmspropKind{});
  if (is(LbfgsKind{})) return use(LbfgsKind{});
  throw Error(ErrorKind::usage, "muster knows the optimizers SGD, Adam, AdamW, Adagrad, RMSprop and LBFGS, but not " +
                                    c10::demangle(typeid(optimizer).name()));
}

}  // namespace muster::torch_adapter
