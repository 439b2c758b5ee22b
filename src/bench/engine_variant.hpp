#pragma once
// The ways in which muster itself saves, by the names that --engine and --against know.

#include <muster/checkpoint.hpp>
#include <string>
#include <vector>

namespace muster::bench {

struct EngineVariant {
  std::string name;
  SaveOptions options = {};
  bool async = false;
};

// All of them; one more is one more entry.
const std::vector<EngineVariant>& engine_variants();

// Null where no variant has the name.
const EngineVariant* find_engine_variant(const std::string& name);

}  // namespace muster::bench
