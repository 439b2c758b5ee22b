#include "torch/param_groups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>
#include <tuple>
#include <typeinfo>
#include <unordered_set>
#include <utility>

#include "torch/optimizer_kinds.hpp"

namespace muster::torch_adapter {

namespace {

using nlohmann::json;
using Betas = std::tuple<double, double>;

constexpr const char* kLeftOut = "left_out";
constexpr const char* kModels = "models";

json json_of(double value) { return value; }
json json_of(bool value) { return value; }
json json_of(std::int64_t value) { return value; }
json json_of(const std::string& value) { return value; }
json json_of(const Betas& value) { return json::array({std::get<0>(value), std::get<1>(value)}); }
// c10::optional before LibTorch 2.6, std::optional since.
template <class O>
concept Optional = requires(const O& value) {
  value.has_value();
  *value;
};
template <Optional O>
json json_of(const O& value) {
  return value.has_value() ? json_of(*value) : json(nullptr);
}

// read_option: false where the JSON is of another kind; then the value is as it was.
bool read_option(const json& text, double& value) {
  if (!text.is_number()) return false;
  value = text.get<double>();
  return true;
}
bool read_option(const json& text, bool& value) {
  if (!text.is_boolean()) return false;
  value = text.get<bool>();
  return true;
}
bool read_option(const json& text, std::int64_t& value) {
  if (!text.is_number_integer()) return false;
  if (text.is_number_unsigned() && text.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) return false;
  value = text.get<std::int64_t>();
  return true;
}
bool read_option(const json& text, std::string& value) {
  if (!text.is_string()) return false;
  value = text.get<std::string>();
  return true;
}
bool read_option(const json& text, Betas& value) {
  return text.is_array() && text.size() == 2 && read_option(text[0], std::get<0>(value)) &&
         read_option(text[1], std::get<1>(value));
}
template <Optional O>
bool read_option(const json& text, O& value) {
  if (text.is_null()) {
    value = O();
    return true;
  }
  typename O::value_type inner{};
  if (!read_option(text, inner)) return false;
  value = std::move(inner);
  return true;
}

std::string shown(const std::vector<std::string>& keys) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, keys.size()); ++i) text += (i ? ", '" : "'") + keys[i] + "'";
  if (keys.size() > kShown) text += fmt::format(" and {} more", keys.size() - kShown);
  return text;
}

// In what the lists of parameters differ; each empty where it is nothing.
struct ListDifference {
  std::string problem;
  std::string missing;
  std::string unexpected;
  [[nodiscard]] bool any() const { return !problem.empty() || !missing.empty() || !unexpected.empty(); }
};

// State is found by key, so the order within a group matters to LBFGS alone, whose state is that of all parameters one
// after the other.
ListDifference difference(const json& params, std::vector<std::string> here, GroupMatch match, bool ordered,
                          const std::function<std::string(const std::string&)>& key_here) {
  ListDifference found;
  if (match == GroupMatch::options_only && !ordered) return found;
  const auto problem = [&](const char* text) {
    found.problem = text;
    return found;
  };
  if (!params.is_array()) return problem("'params' is not an array");
  std::vector<std::string> saved;
  for (const auto& key : params) {
    if (!key.is_string()) return problem("'params' holds something that is not a name");
    saved.push_back(key_here(key.get<std::string>()));
  }
  if (ordered) {
    if (saved == here) return found;
    if (std::is_permutation(saved.begin(), saved.end(), here.begin(), here.end())) {
      return problem("the same parameters are in another order");
    }
  }
  std::sort(saved.begin(), saved.end());
  std::sort(here.begin(), here.end());
  if (saved == here) return found;
  const auto missing_in = [](const std::vector<std::string>& all, const std::vector<std::string>& some) {
    std::vector<std::string> missing;
    std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::back_inserter(missing));
    return missing;
  };
  // Keys are names with a model and positions without one.
  constexpr const char* kHint = " (was the model given with the optimizer both times?)";
  if (const auto only_saved = missing_in(saved, here); match != GroupMatch::part && !only_saved.empty()) {
    found.unexpected = "saved with " + shown(only_saved) + ", which this optimizer does not have there" + kHint;
  }
  if (const auto only_here = missing_in(here, saved); !only_here.empty()) {
    found.missing = "saved without " + shown(only_here) + kHint;
  }
  if (!found.any() && match != GroupMatch::part) found.problem = "a parameter is listed twice";
  return found;
}

class GroupParser {
 public:
  GroupParser(ParsedGroups& parsed, const OptimizerClass& kind, std::string where, bool strict)
      : parsed_(parsed), kind_(kind), where_(std::move(where)), strict_(strict) {}

  void parse(const json& group, const torch::optim::OptimizerOptions& now, const std::vector<std::string>& keys,
             GroupMatch match, const std::function<std::string(const std::string&)>& key_here) {
    const bool one_state = has_one_state(kind_);
    if (!group.is_object()) {
      parsed_.usable = false;
      return problem("is not an object");
    }
    const auto found = difference(group.value("params", json()), keys, match, one_state, key_here);
    // State that is kept by parameter is of use to the parameters that are still there.
    if (one_state && found.any()) parsed_.usable = false;
    if (!found.problem.empty()) problem(found.problem);
    if (!found.missing.empty()) parsed_.missing.push_back(where_ + ": " + found.missing);
    if (!found.unexpected.empty()) parsed_.unexpected.push_back(where_ + ": " + found.unexpected);
    auto options = kind_.copy(now);
    std::set<std::string> known{"params"};
    kind_.visit_options(*options, [&](const char* name, const OptionValue& value) {
      known.insert(name);
      const auto entry = group.find(name);
      if (entry == group.end()) {
        if (strict_) problem(fmt::format("has no option '{}'", name));
      } else if (!std::visit([&](auto* option) { return read_option(*entry, *option); }, value)) {
        problem(fmt::format("option '{}' cannot be {}", name, entry->type_name()));
      }
    });
    for (const auto& item : group.items()) {
      if (strict_ && !known.contains(item.key())) {
        problem(fmt::format("has an option '{}' that {} does not know", item.key(), kind_.name()));
      }
    }
    parsed_.options.push_back(std::move(options));
  }

 private:
  void problem(const std::string& text) { parsed_.problems.push_back(where_ + ": " + text); }

  ParsedGroups& parsed_;
  const OptimizerClass& kind_;
  std::string where_;
  bool strict_;
};

void require_options(const OptimizerClass& kind, const torch::optim::OptimizerOptions& options) {
  if (kind.fits(options)) return;
  throw Error(ErrorKind::usage, fmt::format("a group of the optimizer {} has options of the class {}", kind.name(),
                                            c10::demangle(typeid(options).name())));
}

}  // namespace

json param_groups_document(const OptimizerClass& kind, const torch::optim::Optimizer& optimizer, const GroupKeys& keys,
                           const std::vector<std::string>& models, const LeftOut& left_out) {
  json groups = json::array();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    json group = json::object();
    const auto& options = optimizer.param_groups()[i].options();
    require_options(kind, options);
    // Only read here; a load visits the same to write.
    kind.visit_options(*kind.copy(options), [&group](const char* name, const OptionValue& value) {
      std::visit([&](const auto* option) { group[name] = json_of(*option); }, value);
    });
    group["params"] = keys[i];
    groups.push_back(std::move(group));
  }
  json document{{"optimizer", kind.name()}, {"groups", std::move(groups)}};
  if (!models.empty()) document[kModels] = models;
  if (!left_out.empty()) document[kLeftOut] = left_out;
  return document;
}

std::vector<std::string> models_of(const json& document) {
  std::vector<std::string> models;
  if (!document.is_object() || !document.contains(kModels) || !document[kModels].is_array()) return models;
  for (const auto& name : document[kModels]) {
    if (name.is_string()) models.push_back(name.get<std::string>());
  }
  return models;
}

LeftOut left_out_of(const json* document, const std::function<std::string(const std::string&)>& key_here) {
  LeftOut left_out;
  if (document == nullptr || !document->is_object() || !document->contains(kLeftOut)) return left_out;
  for (const auto& item : (*document)[kLeftOut].items()) {
    const auto& dtype = item.value();
    left_out[key_here(item.key())] = dtype.is_string() ? dtype.get<std::string>() : dtype.dump();
  }
  return left_out;
}

std::string contribution_of(const GroupKeys& keys, const LeftOut& left_out) { return json{keys, left_out}.dump(); }

json with_params_of_all(json document, const std::vector<std::string>& contributions) {
  auto& groups = document["groups"];
  std::vector<std::unordered_set<std::string>> listed(groups.size());
  for (auto& group : groups) group["params"] = json::array();
  LeftOut left_out_of_all;
  for (const auto& contribution : contributions) {
    const auto [keys, left_out] = json::parse(contribution).get<std::pair<GroupKeys, LeftOut>>();
    for (const auto& [key, dtype] : left_out) {
      const auto known = left_out_of_all.emplace(key, dtype).first->second;
      if (known == dtype) continue;
      throw Error(ErrorKind::mismatch,
                  fmt::format("some ranks have the parameter {} in {}, some in {}", key, known, dtype));
    }
    if (keys.size() != groups.size()) {
      throw Error(ErrorKind::mismatch, fmt::format("some ranks have {} groups of parameters in the optimizer, some {}",
                                                   groups.size(), keys.size()));
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      for (const auto& key : keys[i]) {
        if (listed[i].insert(key).second) groups[i]["params"].push_back(key);
      }
    }
  }
  if (!left_out_of_all.empty()) document[kLeftOut] = left_out_of_all;
  return document;
}

ParsedGroups parse_param_groups(const std::string& path, const json& document, const OptimizerClass& kind,
                                const torch::optim::Optimizer& optimizer, const GroupKeys& keys, GroupMatch match,
                                bool strict, const std::function<std::string(const std::string&)>& key_here) {
  ParsedGroups parsed;
  const auto unusable = [&](const std::string& text) {
    parsed.usable = false;
    parsed.problems.push_back(path + ": " + text);
  };
  if (!document.is_object() || !document.contains("optimizer") || !document["optimizer"].is_string() ||
      !document.contains("groups") || !document["groups"].is_array()) {
    unusable("is not {\"optimizer\": name, \"groups\": [...]}");
    return parsed;
  }
  if (const auto& name = document["optimizer"].get_ref<const std::string&>(); name != kind.name()) {
    unusable(fmt::format("is of the optimizer {}, and is to be loaded into {}", name, kind.name()));
    return parsed;
  }
  const auto& groups = document["groups"];
  if (groups.size() != keys.size()) {
    unusable(fmt::format("has {} parameter groups, and this optimizer {}", groups.size(), keys.size()));
    return parsed;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto& options = optimizer.param_groups()[i].options();
    require_options(kind, options);
    GroupParser(parsed, kind, fmt::format("{} group {}", path, i), strict)
        .parse(groups[i], options, keys[i], match, key_here);
  }
  return parsed;
}

}  // namespace muster::torch_adapter
