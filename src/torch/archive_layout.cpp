#include "torch/archive_layout.hpp"

#include <muster/error.hpp>
#include <muster/state.hpp>
#include <typeinfo>

namespace muster::torch_adapter {

ArchiveTree saved_tree(const torch::optim::Optimizer& optimizer) {
  torch::serialize::OutputArchive archive;
  optimizer.save(archive);
  auto tree = tree_of(archive);
  if (tree.empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("the save() of the optimizer {} writes nothing; specialise muster::OptimizerTraits for it, "
                            "and give the optimizer by its own class",
                            ArchivedClass(optimizer).name()));
  }
  return tree;
}

std::string group_key(std::size_t group) { return fmt::format("{}/{}", kGroups, group); }
ArchivePath option_path(std::size_t group, const std::string& name) {
  return {kGroups, group_key(group), kOptions, name};
}

std::string path_text(const ArchivePath& keys) {
  std::string path;
  for (const auto& key : keys) path += object_path({key});
  return path.empty() ? path : path.substr(1);
}
ArchivePath path_keys(const std::string& path) { return object_keys("/" + path); }

StateKeys::StateKeys(const ArchiveTree& tree, const GroupKeys& keys) : keys_(keys) {
  std::size_t position = 0;
  for (std::size_t group = 0; group < keys.size(); ++group) {
    for (std::size_t i = 0; i < keys[group].size(); ++i) {
      const auto* listed = tree.find_value({kGroups, group_key(group), fmt::format("{}/{}", kParams, i)});
      lists_parameters_ = listed != nullptr && listed->isString();
      auto key = lists_parameters_ ? listed->toStringRef() : std::to_string(position);
      ++position;
      position_of_.emplace(key, Position{group, i});
      key_of_.emplace(keys[group][i], std::move(key));
    }
  }
}

ArchivePath slot_of(const ArchivePath& path) { return {path.begin() + 2, path.end()}; }

std::optional<std::size_t> group_of_option(const ArchivePath& path, std::size_t groups) {
  if (path.size() != 4 || path[0] != kGroups || path[2] != kOptions || path[3] == kParams) return std::nullopt;
  for (std::size_t group = 0; group < groups; ++group) {
    if (path[1] == group_key(group)) return group;
  }
  return std::nullopt;
}

bool is_list_of_parameters(const ArchivePath& path) {
  if (path.front() != kGroups) return false;
  return path.back() == std::string(kGroups) + "/size" ||
         (path.size() == 3 && path.back().starts_with(std::string(kParams) + "/"));
}

}  // namespace muster::torch_adapter
