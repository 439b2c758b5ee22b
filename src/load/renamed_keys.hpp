#pragma once
// Under which paths a program sees the tensors of a checkpoint: LoadOptions::renames and ::only. Local.
// The two functions are exported for the component torch.

#include <map>
#include <muster/checkpoint.hpp>
#include <muster/export.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/catalog.hpp"

namespace muster::load {

// Whether a tensor of the program is to be loaded; `only` empty: all are.
MUSTER_EXPORT bool is_selected(const std::vector<std::string>& only, const std::string& path);

// What a key of a checkpoint is called in the program; nothing where no rename is for it.
MUSTER_EXPORT std::optional<std::string> renamed(const std::map<std::string, std::string>& renames,
                                                 const std::string& key);

class RenamedKeys {
 public:
  // Throws Error{usage} for a rename that cannot be, or where two tensors would have one name.
  RenamedKeys(const LoadOptions& options, const Catalog& catalog);

  // Of a tensor, by its index in the catalog, to be loaded or not.
  [[nodiscard]] const std::string& path(std::size_t tensor) const { return paths_[tensor]; }
  // Whether a tensor of the program, by its own path, is to be loaded.
  [[nodiscard]] bool selects(const std::string& path) const { return is_selected(only_, path); }

 private:
  std::vector<std::string> only_;
  std::vector<std::string> paths_;
};

}  // namespace muster::load
