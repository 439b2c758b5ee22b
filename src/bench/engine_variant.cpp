#include "bench/engine_variant.hpp"

#include <algorithm>

namespace muster::bench {

const std::vector<EngineVariant>& engine_variants() {
  static const std::vector<EngineVariant> kVariants{
      {"auto", {.engine = EngineChoice::automatic}},
      {"direct", {.engine = EngineChoice::direct}},
      {"collective", {.engine = EngineChoice::collective}},
  };
  return kVariants;
}

const EngineVariant* find_engine_variant(const std::string& name) {
  const auto& variants = engine_variants();
  const auto found =
      std::find_if(variants.begin(), variants.end(), [&](const auto& variant) { return variant.name == name; });
  return found == variants.end() ? nullptr : &*found;
}

}  // namespace muster::bench
