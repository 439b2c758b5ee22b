#pragma once
// References to models: modules, TorchScript modules and dictionaries of tensors.

#include <torch/torch.h>

#include <concepts>
#include <functional>
#include <memory>
#include <muster/export.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace MUSTER_EXPORT muster {

// A tensor of a model on this rank.
struct NamedTensor {
  std::string key;  // of the state_dict
  torch::Tensor tensor;
  bool is_buffer = false;  // false: a parameter
};

// Whether M is a TorchScript module (torch::jit::Module), without its header.
template <class M>
concept TorchScriptModule = requires(const M& module) {
  (*module.named_parameters(true).begin()).name;
  (*module.named_buffers(true).begin()).value;
};

// Whether D is a dictionary from names to tensors: std::map, std::unordered_map, torch::OrderedDict and the like.
template <class D>
concept TensorDictionary =
    !std::derived_from<D, torch::nn::Module> && !TorchScriptModule<D> && requires(D & dictionary) {
  requires(
      requires {
        { (*dictionary.begin()).first } -> std::convertible_to<std::string_view>;
        { (*dictionary.begin()).second } -> std::convertible_to<torch::Tensor>;
      } ||
      requires {
        { (*dictionary.begin()).key() } -> std::convertible_to<std::string_view>;
        { (*dictionary.begin()).value() } -> std::convertible_to<torch::Tensor>;
      });
};

// A model to save or load. Default: not given. It is one of these:
// * a Module, a ModuleHolder or a shared_ptr to a Module
// * a TorchScript module (torch::jit::Module)
// * a dictionary of tensors, which are saved and loaded as parameters are
// The object keeps a plain pointer to a Module or a dictionary that it gets as a reference; they must outlive the call.
// It shares in the ownership of all others. If a null pointer or an empty ModuleHolder is given, the call fails with
// CollectiveError{usage} on all ranks.
class ModelRef {
 public:
  ModelRef() = default;
  ModelRef(torch::nn::Module& module) : given_(true), tensors_([&module] { return tensors_of(module); }) {}
  template <class M>
  requires std::derived_from<M, torch::nn::Module> ModelRef(const std::shared_ptr<M>& module) : given_(true) {
    if (module) tensors_ = [module] { return tensors_of(*module); };
  }
  template <class M>
  ModelRef(const torch::nn::ModuleHolder<M>& holder) : ModelRef(holder.is_empty() ? nullptr : holder.ptr()) {}
  // A TorchScript module is a reference itself: it is copied.
  template <TorchScriptModule M>
  ModelRef(const M& module) : given_(true), tensors_([module] { return tensors_of_script(module); }) {}
  template <TensorDictionary D>
  ModelRef(D& dictionary) : given_(true), tensors_([&dictionary] { return tensors_of_dictionary(dictionary); }) {}

  [[nodiscard]] bool given() const { return given_; }
  [[nodiscard]] bool null() const { return !tensors_; }  // not given, or a null pointer
  // Local. Returns the parameters, then the buffers. A tensor that has two names is there under both. Undefined tensors
  // are left out. It must not be called if null().
  [[nodiscard]] std::vector<NamedTensor> tensors() const { return tensors_(); }

 private:
  static std::vector<NamedTensor> tensors_of(const torch::nn::Module& module) {
    std::vector<NamedTensor> all;
    for (const auto& item : module.named_parameters()) add(all, item.key(), item.value(), false);
    for (const auto& item : module.named_buffers()) add(all, item.key(), item.value(), true);
    return all;
  }
  template <class M>
  static std::vector<NamedTensor> tensors_of_script(const M& module) {
    std::vector<NamedTensor> all;
    for (const auto& item : module.named_parameters(true)) add(all, item.name, item.value, false);
    for (const auto& item : module.named_buffers(true)) add(all, item.name, item.value, true);
    return all;
  }
  template <class D>
  static std::vector<NamedTensor> tensors_of_dictionary(const D& dictionary) {
    std::vector<NamedTensor> all;
    for (const auto& item : dictionary) {
      if constexpr (requires { item.first; }) {
        add(all, std::string(item.first), item.second, false);
      } else {
        add(all, std::string(item.key()), item.value(), false);
      }
    }
    return all;
  }
  static void add(std::vector<NamedTensor>& all, std::string key, torch::Tensor tensor, bool is_buffer) {
    if (tensor.defined()) all.push_back({std::move(key), std::move(tensor), is_buffer});
  }

  bool given_ = false;
  std::function<std::vector<NamedTensor>()> tensors_;
};

}  // namespace muster
