#pragma once
// The document /optimizer/param_groups:
// {"optimizer": "AdamW", "groups": [{"lr": 0.001, "betas": [0.9, 0.999], ..., "params": ["fc.weight", ...]}, ...]}

#include <torch/torch.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace muster::torch_adapter {

inline constexpr const char* kOptimizerSection = "optimizer";
inline constexpr const char* kParamGroupsKey = "param_groups";

using GroupKeys = std::vector<std::vector<std::string>>;  // see parameter_keys()

nlohmann::json param_groups_document(const torch::optim::Optimizer& optimizer, const GroupKeys& keys);

// What a document says about an optimizer.
struct ParsedGroups {
  bool usable = true;  // off: the saved state is of no use to this optimizer
  std::vector<std::unique_ptr<torch::optim::OptimizerOptions>> options;  // one a group, where usable
  std::vector<std::string> problems;                                     // all that does not fit
};

// Starts from the optimizer's own options. With `strict` every option of the class must be there and no other.
ParsedGroups parse_param_groups(const nlohmann::json& document, const torch::optim::Optimizer& optimizer,
                                const GroupKeys& keys, bool strict);

}  // namespace muster::torch_adapter
