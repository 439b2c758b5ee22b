#include "bench/engine_variant.hpp"

#include <algorithm>

namespace muster::bench {

const std::vector<EngineVariant>& engine_variants() {
  static const std::vector<EngineVariant> variants{
      {"auto", {.engine = EngineChoice::automatic}},
      {"direct", {.engine = EngineChoice::direct}},
      {"collective", {.engine = EngineChoice::collective}},
      {"async", {.engine = EngineChoice::direct}, true},
      {"async-overlap",
       {.async = {.overlap_staging = true, .overlap = Overlap::copying}, .engine = EngineChoice::direct},
       true},
      {"async-writing",
       {.async = {.overlap_staging = true, .overlap = Overlap::writing}, .engine = EngineChoice::direct},
       true},
  };
  return variants;
}

const EngineVariant* find_engine_variant(const std::string& name) {
  const auto& all = engine_variants();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& variant) { return variant.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace muster::bench
