#pragma once
// Where the archive that an optimizer saves has the state of each parameter, its options and the rest. Local.

#include <fmt/format.h>
#include <torch/torch.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "torch/archive_tree.hpp"
#include "torch/optimizer_kinds.hpp"
#include "torch/param_groups.hpp"

namespace muster::torch_adapter {

// Below the path of the optimizer: tensors that are not of a parameter's state.
inline constexpr const char* kArchive = "archive";
// In the document param_groups.
inline constexpr const char* kSlots = "slots";  // {"momentum_buffer": "parameter", "step": "int"}
// {"fc.weight": {"name": value}}: of a parameter's state, if neither a tensor nor a number
inline constexpr const char* kValues = "values";
inline constexpr const char* kOthers = kArchive;  // {"name": value}: all other values
// The kinds of slots.
inline constexpr const char* kLikeParameter = "parameter";
inline constexpr const char* kTensor = "tensor";
// The archives that LibTorch makes of an optimizer.
inline constexpr const char* kState = "state";
inline constexpr const char* kGroups = "param_groups";
inline constexpr const char* kOptions = "options";
inline constexpr const char* kParams = "params";

// The class as far as the document param_groups is concerned: what the options are is up to its archive.
class ArchivedClass final : public OptimizerClass {
 public:
  explicit ArchivedClass(const torch::optim::Optimizer& optimizer) : name_(c10::demangle(typeid(optimizer).name())) {}
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] bool fits(const State&) const override { return true; }
  [[nodiscard]] bool fits(const Options&) const override { return true; }
  [[nodiscard]] std::unique_ptr<State> make_state() const override { return std::make_unique<State>(); }
  [[nodiscard]] std::unique_ptr<State> copy(const State&) const override { return make_state(); }
  [[nodiscard]] std::unique_ptr<Options> copy(const Options&) const override { return std::make_unique<Options>(); }
  void assign(Options&, const Options&) const override {}
  void visit_slots(State&, const VisitSlot&) const override {}
  void visit_options(Options&, const VisitOption&) const override {}

 private:
  std::string name_;
};

// What its save() writes. Throws Error{usage} if that is nothing.
ArchiveTree saved_tree(const torch::optim::Optimizer& optimizer);

std::string group_key(std::size_t group);
ArchivePath option_path(std::size_t group, const std::string& name);

// Keys as a part of an HDF5 path, without a leading '/'; and the keys of such a part.
std::string path_text(const ArchivePath& keys);
ArchivePath path_keys(const std::string& path);

// Where a parameter is in the optimizer.
struct Position {
  std::size_t group;
  std::size_t index;
};

// The keys of state in the archives of this process. LibTorch's are addresses, which the groups list; other classes may
// count the parameters of all groups.
class StateKeys {
 public:
  StateKeys(const ArchiveTree& tree, const GroupKeys& keys);
  // Of what a path of the archive is the state; null if of no parameter.
  [[nodiscard]] const Position* parameter(const ArchivePath& path) const {
    if (path.size() < 3 || path[0] != kState) return nullptr;
    const auto found = position_of_.find(path[1]);
    return found == position_of_.end() ? nullptr : &found->second;
  }
  // Whether a path is of the state of a parameter that is in no group any more: no step uses it.
  [[nodiscard]] bool is_of_no_group(const ArchivePath& path) const {
    return lists_parameters_ && path.size() >= 3 && path[0] == kState && parameter(path) == nullptr;
  }
  [[nodiscard]] const std::string& name(const Position& at) const { return keys_[at.group][at.index]; }
  [[nodiscard]] bool has(const std::string& name) const { return key_of_.contains(name); }
  [[nodiscard]] const std::string& key(const std::string& name) const { return key_of_.at(name); }
  [[nodiscard]] std::size_t groups() const { return keys_.size(); }
  // The path in the archive of a slot of the parameter with this name.
  [[nodiscard]] ArchivePath path(const std::string& name, const ArchivePath& slot) const {
    ArchivePath all{kState, key_of_.at(name)};
    all.insert(all.end(), slot.begin(), slot.end());
    return all;
  }

 private:
  const GroupKeys& keys_;
  std::unordered_map<std::string, Position> position_of_;
  std::unordered_map<std::string, std::string> key_of_;  // by name
  bool lists_parameters_ = false;
};

// The path below the parameter; for a path of a parameter.
ArchivePath slot_of(const ArchivePath& path);

// The group of which a value is an option.
std::optional<std::size_t> group_of_option(const ArchivePath& path, std::size_t groups);

// Whether a value lists the parameters: their names are in the document.
bool is_list_of_parameters(const ArchivePath& path);

}  // namespace muster::torch_adapter
