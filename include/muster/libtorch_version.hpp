#pragma once
// What differs between the versions of LibTorch that muster builds with, 1.13 to 2.15, besides the dtypes that they
// have (src/torch/scalar_types.hpp). Everything else in muster and in its tests is the same source for all of them.

#include <torch/torch.h>

#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

// torch::optim::ReduceLROnPlateauScheduler came with LibTorch 2.1.
#if __has_include(<torch/optim/schedulers/reduce_on_plateau_scheduler.h>)
#define MUSTER_HAS_REDUCE_LR_ON_PLATEAU 1
#else
#define MUSTER_HAS_REDUCE_LR_ON_PLATEAU 0
#endif

namespace muster {

// The key type of Optimizer::state(): the address of a parameter's TensorImpl, since LibTorch 2.2 as a void*, before
// that as text.
using OptimizerStateKey =
    typename std::remove_cvref_t<decltype(std::declval<torch::optim::Optimizer&>().state())>::key_type;

// The key of a parameter in Optimizer::state().
template <class Key = OptimizerStateKey>
Key optimizer_state_key(const torch::Tensor& parameter) {
  auto* address = parameter.unsafeGetTensorImpl();
  if constexpr (std::is_pointer_v<Key>) {
    return address;
  } else {
    std::ostringstream text;
    text << address;
    return text.str();
  }
}

}  // namespace muster
