#pragma once
// The document param_groups of an optimizer:
// {"optimizer": "AdamW", "groups": [{"lr": 0.001, "betas": [0.9, 0.999], ..., "params": ["fc.weight", ...]}, ...],
//  "models": ["generator"], "left_out": {"fc.weight": "bfloat16", ...}}

#include <torch/torch.h>

#include <functional>
#include <map>
#include <memory>
#include <muster/torch/optimizer_traits.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace muster::torch_adapter {

inline constexpr const char* kParamGroupsKey = "param_groups";

using GroupKeys = std::vector<std::vector<std::string>>;  // see parameter_keys()

// Parameters of the model that are not saved because their masters are, by key: the name of the dtype that they have.
using LeftOut = std::map<std::string, std::string>;

// models: the names of the models of a named optimizer.
nlohmann::json param_groups_document(const OptimizerClass& kind, const torch::optim::Optimizer& optimizer,
                                     const GroupKeys& keys, const std::vector<std::string>& models,
                                     const LeftOut& left_out);
// Empty where the document does not say.
std::vector<std::string> models_of(const nlohmann::json& document);
// By the names that the program has for them. Empty where the document, which may be null, does not say.
LeftOut left_out_of(const nlohmann::json* document, const std::function<std::string(const std::string&)>& key_here);

// Ranks may have other parameters of a group: what each says of its own, and the document with the parameters of all,
// those of the lowest ranks first. Throws Error{mismatch} where they have other numbers of groups, or left out a
// parameter in other dtypes.
std::string contribution_of(const GroupKeys& keys, const LeftOut& left_out);
nlohmann::json with_params_of_all(nlohmann::json document, const std::vector<std::string>& contributions);

// What a document says about an optimizer.
struct ParsedGroups {
  bool usable = true;  // off: the saved state is of no use to this optimizer
  std::vector<std::unique_ptr<torch::optim::OptimizerOptions>> options;  // one a group, where usable
  std::vector<std::string> problems;                                     // all that does not fit
  std::vector<std::string> missing;                                      // parameters that the document does not have
  std::vector<std::string> unexpected;                                   // and those that the optimizer does not have
};

// What a group of an optimizer has to do with that of the checkpoint.
enum class GroupMatch { same, part, options_only };  // its parameters; some of them; nothing is contribution of them

// path: of the document, for messages. Starts from the optimizer's own options. With `strict` every option of the class
// must be there and no other. `key_here`: what a key of the document is called in the program.
ParsedGroups parse_param_groups(const std::string& path, const nlohmann::json& document, const OptimizerClass& kind,
                                const torch::optim::Optimizer& optimizer, const GroupKeys& keys, GroupMatch match,
                                bool strict, const std::function<std::string(const std::string&)>& key_here);

}  // namespace muster::torch_adapter
