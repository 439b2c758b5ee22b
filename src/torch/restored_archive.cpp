#include "torch/restored_archive.hpp"

#include <fmt/format.h>

#include <map>
#include <muster/error.hpp>
#include <span>
#include <utility>

#include "base/hash.hpp"
#include "torch/archive_layout.hpp"
#include "torch/archive_slots.hpp"
#include "torch/tensor.hpp"

namespace muster::torch_adapter {

namespace {
using c10::IValue;

// By path: what two archives with the same values have in common.
using Prints = std::map<std::string, std::string>;

// Of all values but those that a class may write for its own purposes, such as the number of its version.
Prints prints_of(const ArchiveTree& tree, const StateKeys& keys) {
  Prints prints;
  tree.for_each([&](const ArchivePath& path, const IValue& value) {
    if (is_list_of_parameters(path) || keys.is_of_no_group(path)) return;
    if (is_tensor(value)) {
      const auto tensor = value.toTensor().detach().cpu().contiguous();
      const std::span bytes(static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes());
      prints[path_text(path)] =
          fmt::format("{} {} {}", c10::toString(tensor.scalar_type()), to_string(shape_of(tensor)),
                      bytes.empty() ? "" : hash_text(hash_bytes(bytes)));
    } else if (keys.parameter(path) != nullptr || group_of_option(path, keys.groups())) {
      if (const auto text = json_of_value(value)) prints[path_text(path)] = text->dump();
    }
  });
  return prints;
}
}  // namespace

void install(torch::optim::Optimizer& optimizer, const GroupKeys& keys, RestoredArchive& restored) {
  const c10::InferenceMode normal_mode(false);
  const torch::NoGradGuard no_grad;
  auto& tree = restored.tree;
  for (auto& [path, tensor, as, index] : restored.filled) {
    if (as == Filled::As::element) {
      tree.find_value(path)->toTensorList().set(index, std::move(tensor));
    } else {
      tree.set(path, as == Filled::As::number ? number_of_tensor(tensor) : IValue(std::move(tensor)));
    }
  }
  restored.filled.clear();
  const StateKeys state_keys(tree, keys);
  const auto expected = prints_of(tree, state_keys);
  if (const auto* states = tree.find(kState); states != nullptr && restored.replaces_state) {
    for (std::size_t group = 0; group < keys.size(); ++group) {
      for (std::size_t i = 0; i < keys[group].size(); ++i) {
        if (states->find(state_keys.key(keys[group][i])) != nullptr) continue;
        optimizer.state().erase(optimizer_state_key(optimizer.param_groups()[group].params()[i]));
      }
    }
  }
  auto archive = archive_of(std::move(tree));
  optimizer.load(archive);
  for (std::size_t group = 0; group < restored.options.size(); ++group) {
    // In place: the program may hold a reference to its options.
    if (restored.options[group]) optimizer.param_groups()[group].options().serialize(*restored.options[group]);
  }
  archive = {};
  const auto found = prints_of(saved_tree(optimizer), state_keys);
  for (const auto& [path, print] : expected) {
    const auto here = found.find(path);
    if (here != found.end() && here->second == print) continue;
    throw Error(ErrorKind::internal,
                fmt::format("the load() of the optimizer {} does not restore {}, which its save() writes; specialise "
                            "muster::OptimizerTraits for it",
                            ArchivedClass(optimizer).name(), path));
  }
}

}  // namespace muster::torch_adapter
