#include "coord/target.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <unordered_map>
#include <unordered_set>

#include "base/exact_json.hpp"

namespace muster::coord {

CheckpointContents contents_of(const Catalog& catalog) {
  CheckpointContents contents;
  contents.tag = catalog.run.tag;
  contents.step = catalog.run.step;
  contents.sequence = catalog.run.sequence;
  contents.world_size = catalog.run.world_size;
  for (const auto& tensor : catalog.tensors) contents.tensors.push_back({tensor.path, tensor.dtype, tensor.shape});
  for (const auto& document : catalog.documents) {
    contents.documents[document.path] = from_exact_text(document.text, document.path);
  }
  return contents;
}

std::vector<plan::Want> Comparison::wants(const Catalog& catalog) const {
  std::vector<plan::Want> wants;
  for (const auto& [want, memory, map] : destinations) {
    if (map) {
      plan::append_touched(catalog, want.tensor, *map, wants);
    } else {
      wants.push_back(want);
    }
  }
  return wants;
}

Comparison compare(const LoadTarget& target, const Catalog& catalog) {
  Comparison result;
  std::unordered_map<std::string_view, std::uint32_t> saved;
  for (std::size_t i = 0; i < catalog.tensors.size(); ++i) {
    saved[catalog.tensors[i].path] = static_cast<std::uint32_t>(i);
  }
  std::unordered_set<std::string_view> wanted;
  for (const auto& [description, memory] : target.state.tensors()) {
    const auto& path = description.path;
    if (!wanted.insert(path).second) {
      result.problems.push_back("wanted twice: " + path);
      continue;
    }
    const auto found = saved.find(path);
    if (found == saved.end()) {
      result.problems.push_back("missing in the checkpoint: " + path);
      continue;
    }
    const auto& tensor = catalog.tensors[found->second];
    if (tensor.dtype != description.dtype || tensor.shape != description.global_shape) {
      result.problems.push_back(fmt::format("{}: {} {} in the checkpoint, {} {} wanted", path, name(tensor.dtype),
                                            to_string(tensor.shape), name(description.dtype),
                                            to_string(description.global_shape)));
      continue;
    }
    const auto& [unused, dtype, shape, shard] = description;
    if (elements_held(shard, shape) == 0) continue;
    if (memory.data == nullptr && !memory.write) {
      result.problems.push_back(path + ": nowhere to write it to");
      continue;
    }
    const auto range = contiguous_range(shard, shape);
    if (range && tensor.tile.empty()) {
      const auto item = item_bytes(dtype);
      result.destinations.push_back({{found->second, range->first * item, range->count * item}, &memory});
    } else {
      result.destinations.push_back(
          {{found->second, 0, tensor.bytes},
           &memory,
           std::make_shared<const ShardMap>(StorageOrder(tensor.shape, tensor.tile), shard, dtype)});
    }
  }
  for (const auto& tensor : catalog.tensors) {
    const auto section = tensor.path.substr(1, tensor.path.find('/', 1) - 1);
    const auto& sections = target.sections;
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) continue;
    if (!wanted.contains(tensor.path)) result.problems.push_back("unexpected in the checkpoint: " + tensor.path);
  }
  result.problems.insert(result.problems.end(), target.problems.begin(), target.problems.end());
  std::sort(result.destinations.begin(), result.destinations.end(),
            [](const auto& a, const auto& b) { return a.want.tensor < b.want.tensor; });
  return result;
}

}  // namespace muster::coord
