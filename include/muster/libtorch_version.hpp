#pragma once
// The differences between the versions of LibTorch that muster supports, 1.13 to 2.15. The differences of their dtypes
// are in src/torch/scalar_types.hpp. All other source is the same for all versions.

#include <torch/torch.h>

#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

// torch::optim::ReduceLROnPlateauScheduler exists since LibTorch 2.1.
#if __has_include(<torch/optim/schedulers/reduce_on_plateau_scheduler.h>)
#define MUSTER_HAS_REDUCE_LR_ON_PLATEAU 1
#else
#define MUSTER_HAS_REDUCE_LR_ON_PLATEAU 0
#endif

namespace muster {

// The key type of Optimizer::state(). A key is the address of the TensorImpl of a parameter. It is a void* since
// LibTorch 2.2 and a text before.
using OptimizerStateKey =
    typename std::remove_cvref_t<decltype(std::declval<torch::optim::Optimizer&>().state())>::key_type;

// Local. Returns the key of a parameter in Optimizer::state().
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
