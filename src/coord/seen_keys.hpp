#pragma once
// Under which paths a program sees the tensors of a checkpoint: LoadOptions::renames and ::only. Local.

#include <muster/checkpoint.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/catalog.hpp"

namespace muster::coord {

class SeenKeys {
 public:
  // Throws Error{usage} for a rename that cannot be, or where two tensors would have one name.
  SeenKeys(const LoadOptions& options, const Catalog& catalog);

  // Of a tensor, by its index in the catalog; empty where it is not to be loaded.
  [[nodiscard]] const std::string& path(std::size_t tensor) const { return paths_[tensor]; }
  // Whether a tensor of the program, by its own path, is to be loaded.
  [[nodiscard]] bool selects(const std::string& path) const;

 private:
  std::vector<std::string> only_;
  std::vector<std::string> paths_;
};

}  // namespace muster::coord
