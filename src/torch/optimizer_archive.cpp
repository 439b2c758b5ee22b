#include "torch/optimizer_archive.hpp"

#include <fmt/format.h>

#include <muster/error.hpp>
#include <typeinfo>

namespace muster::torch_adapter {

namespace {

[[noreturn]] void refuse(const OptimizerView& view) {
  const auto& optimizer = view.optimizer();
  throw Error(
      ErrorKind::usage,
      fmt::format("muster knows the optimizers SGD, Adam, AdamW, Adagrad, RMSprop and LBFGS, but not {}; specialise "
                  "muster::OptimizerTraits for it, and give the optimizer by its own class",
                  c10::demangle(typeid(optimizer).name())));
}

}  // namespace

void describe_archived(State&, const OptimizerView& view, const GroupKeys&, const LeftOut&) { refuse(view); }

void prepare_archived(LoadBuilder&, const OptimizerView& view, const GroupKeys&, const nlohmann::json&) {
  refuse(view);
}

}  // namespace muster::torch_adapter
