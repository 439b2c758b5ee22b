#include "load/target_match.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/exact_json.hpp"
#include "model/convert.hpp"

namespace muster::load {

namespace {

constexpr std::size_t kBits = 64;

void set(std::vector<std::uint64_t>& bits, std::size_t index) {
  bits[index / kBits] |= std::uint64_t{1} << index % kBits;
}

bool is_set(const std::vector<std::uint64_t>& bits, std::size_t index) {
  return (bits[index / kBits] >> index % kBits & 1U) != 0;
}

}  // namespace

CheckpointContents contents_of(const Catalog& catalog, const KeySelection& seen) {
  CheckpointContents contents;
  contents.tag = catalog.run.tag;
  contents.step = catalog.run.step;
  contents.sequence = catalog.run.sequence;
  contents.world_size = catalog.world_size;
  for (std::size_t i = 0; i < catalog.tensors.size(); ++i) {
    const auto& tensor = catalog.tensors[i];
    contents.tensors.push_back({seen.path(i), tensor.dtype, tensor.shape});
  }
  for (const auto& [path, text] : catalog.documents) contents.documents[path] = from_exact_text(text, path);
  return contents;
}

std::vector<plan::ReadRequest> TargetMatch::requests(const Catalog& catalog) const {
  std::vector<plan::ReadRequest> requests;
  for (const auto& destination : destinations) {
    const auto& [request, map] = std::tie(destination.request, destination.map);
    if (map) {
      plan::append_touched(catalog, request.tensor, *map, requests);
    } else {
      requests.push_back(request);
    }
  }
  return requests;
}

TargetMatch compare(const LoadTarget& target, const Catalog& catalog, const KeySelection& seen,
                    const LoadOptions& options) {
  TargetMatch result;
  result.wanted.resize((catalog.tensors.size() + options.only.size() + kBits - 1) / kBits);
  const auto misfit = [&](std::string line) {
    result.differences.push_back({Difference::Kind::misfit, std::move(line)});
  };
  std::unordered_map<std::string_view, std::uint32_t> saved;
  for (std::size_t i = 0; i < catalog.tensors.size(); ++i) {
    saved[seen.path(i)] = static_cast<std::uint32_t>(i);
  }
  std::unordered_set<std::string_view> filled;
  for (const auto& [description, memory] : target.state.tensors()) {
    const auto& path = description.path;
    const auto& shape = description.shape;
    const auto dtype = description.dtype;
    const auto& shard = description.shard;
    if (!filled.insert(path).second) {
      misfit("wanted twice: " + path);
      continue;
    }
    const auto source = target.made_from.find(path);
    const bool is_made = source != target.made_from.end();
    if (!seen.selects(path)) continue;
    const auto found = saved.find(is_made ? source->second : path);
    if (found == saved.end()) {
      result.differences.push_back({Difference::Kind::missing, "missing in the checkpoint: " + path});
      continue;
    }
    const auto& tensor = catalog.tensors[found->second];
    set(result.wanted, found->second);
    // What it would be otherwise is wanted as well, and has been replaced.
    if (const auto itself = saved.find(path); itself != saved.end()) set(result.wanted, itself->second);
    const bool may_convert = (is_made || options.convert_dtypes) && is_convertible(tensor.dtype, dtype);
    if (tensor.shape != shape || (tensor.dtype != dtype && !may_convert)) {
      misfit(fmt::format("{}: {} {} in the checkpoint, {} {} wanted", path, name(tensor.dtype), to_string(tensor.shape),
                         name(dtype), to_string(shape)));
      continue;
    }
    if (elements_held(shard, shape) == 0) continue;
    if (memory.data == nullptr && !memory.write) {
      misfit(path + ": nowhere to write it to");
      continue;
    }
    const auto range = contiguous_range(shard, shape);
    Destination destination{
        .request = {{0, tensor.bytes}, found->second}, .memory = &memory, .from = tensor.dtype, .to = dtype};
    if (range && tensor.chunk_shape.empty()) {
      const auto item = item_bytes(tensor.dtype);
      destination.request = {{range->first * item, range->count * item}, found->second};
    } else {
      destination.map =
          std::make_shared<const ShardMap>(StorageOrder(tensor.shape, tensor.chunk_shape), shard, tensor.dtype);
    }
    result.destinations.push_back(std::move(destination));
  }
  for (const auto& problem : target.problems) misfit(problem);
  for (const auto& line : target.missing) result.differences.push_back({Difference::Kind::missing, line});
  for (const auto& line : target.unexpected) result.differences.push_back({Difference::Kind::unexpected, line});
  for (std::size_t i = 0; i < options.only.size(); ++i) {
    const auto matches = [&](std::string_view path) { return is_selected({options.only[i]}, std::string(path)); };
    if (std::ranges::any_of(filled, matches) ||
        std::ranges::any_of(saved, [&](const auto& tensor) { return matches(tensor.first); })) {
      set(result.wanted, catalog.tensors.size() + i);
    }
  }
  std::sort(result.destinations.begin(), result.destinations.end(),
            [](const auto& a, const auto& b) { return a.request.tensor < b.request.tensor; });
  return result;
}

void add_unwanted(TargetMatch& comparison, const LoadTarget& target, const KeySelection& seen,
                  const LoadOptions& options, const std::vector<std::uint64_t>& wanted_by_any, std::size_t tensors) {
  for (std::size_t i = 0; i < tensors; ++i) {
    const auto& path = seen.path(i);
    if (!seen.selects(path) || is_set(wanted_by_any, i)) continue;
    const auto is_in = [&](const std::string& section) {
      return path.size() > section.size() + 1 && path.compare(1, section.size(), section) == 0 &&
             path[section.size() + 1] == '/';
    };
    if (std::ranges::none_of(target.sections, is_in)) continue;
    comparison.differences.push_back({Difference::Kind::unexpected, "unexpected in the checkpoint: " + path});
  }
  for (std::size_t i = 0; i < options.only.size(); ++i) {
    if (is_set(wanted_by_any, tensors + i)) continue;
    comparison.differences.push_back(
        {Difference::Kind::missing, fmt::format("missing in the checkpoint: anything like '{}'", options.only[i])});
  }
}

}  // namespace muster::load
