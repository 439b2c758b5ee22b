#pragma once
// Parameters and buffers of a model, with the keys of its state_dict.

#include <cstdint>
#include <map>
#include <vector>

#include "torch/load_target.hpp"
#include "torch/model_view.hpp"
#include "torch/optimizer_view.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

// Buffers that the forward pass of a training module writes (running means) must be copied at once where the copy of
// everything else goes on beside it.
enum class Buffers : std::uint8_t { in_place, copied };
// optimizers: those that update the model. Parameters that a load can make again from the masters of an optimizer with
// avoid_saving_lower_precision_weights are not saved; they are added to what that optimizer left out.
void describe_module(State& state, const ModelView& model, const std::vector<const OptimizerView*>& optimizers,
                     Buffers buffers, std::map<const OptimizerView*, LeftOut>& left_out);
// What the checkpoint has in another dtype, or not at all, is made from its master where it has that. Of what was left
// out only in the dtype that it had, or in the master's: any other rounding has to be asked for.
void prepare_module(LoadBuilder& load, const ModelView& model);

}  // namespace muster::torch_adapter
