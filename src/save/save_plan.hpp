#pragma once
// What is decided for a save before a byte is written.

#include <cstdint>
#include <map>
#include <muster/state.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/choice.hpp"
#include "engine/shard_bytes.hpp"
#include "h5/head.hpp"
#include "model/layout.hpp"

namespace muster::save {

// What ranks said for documents that are made of it, by path: different contributions in the order of their lowest
// ranks.
using DocumentContributions = std::map<std::string, std::vector<std::string>>;

// For one save and the next ones of the same state. Constant once the save that made it is open.
struct SavePlan {
  std::uint64_t fingerprint = 0;
  Layout layout;
  std::vector<std::uint32_t> stored_as;  // index into layout.tensors of each tensor of this rank's state
  engine::ChosenEngine choice;
  DocumentContributions contributions = {};
  std::optional<h5::Head> head = std::nullopt;  // rank 0
};

// Local. Where the bytes of each tensor of the layout come from on this rank. `state` must outlive what is returned.
engine::LocalShards local_shards(const SavePlan& plan, const State& state);

}  // namespace muster::save
