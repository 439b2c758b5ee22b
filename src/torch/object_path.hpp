#pragma once
// Where an object of a training state lies in the file.

#include <muster/state.hpp>
#include <string>
#include <string_view>

namespace muster::torch_adapter {

// A model, an optimizer or a scheduler. The only one of its kind has no name and is in /model, /optimizer or
// /scheduler; others are in /models/<name>, /optimizers/<name> or /schedulers/<name>.
class ObjectPath {
 public:
  // kind: "model", "optimizer" or "scheduler".
  explicit ObjectPath(std::string_view kind, std::string_view name = {})
      : kind_(kind), name_(name), path_(name.empty() ? object_path({kind}) : object_path({kind_ + "s", name})) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string at(std::string_view key) const { return path_ + object_path({key}); }
  [[nodiscard]] std::string at(std::string_view key, std::string_view slot) const {
    return path_ + object_path({key, slot});
  }
  // As LoadTarget::sections has it.
  [[nodiscard]] std::string section() const { return path_.substr(1); }
  // For messages: "optimizer critic", or "optimizer" for the only one.
  [[nodiscard]] std::string shown() const { return name_.empty() ? kind_ : kind_ + " " + name_; }

 private:
  std::string kind_;
  std::string name_;
  std::string path_;
};

}  // namespace muster::torch_adapter
