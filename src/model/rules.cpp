#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <muster/error.hpp>
#include <muster/rules.hpp>
#include <muster/sharding.hpp>
#include <numeric>
#include <utility>

namespace muster {

namespace {

const ShardingRule* rule_for(const std::vector<ShardingRule>& rules, std::string_view key) {
  const std::string text(key);
  const auto found =
      std::ranges::find_if(rules, [&](const auto& rule) { return fnmatch(rule.keys.c_str(), text.c_str(), 0) == 0; });
  return found == rules.end() ? nullptr : &*found;
}

// The global sizes of what is fused along a dimension of this global size.
std::vector<std::uint64_t> fused_sizes(const DimensionCut& cut, std::uint64_t global_size) {
  if (!cut.fused_sizes.empty()) {
    if (std::reduce(cut.fused_sizes.begin(), cut.fused_sizes.end()) == global_size) return cut.fused_sizes;
    throw Error(ErrorKind::usage, fmt::format("the sizes of what is fused along dimension {} do not make up its {}",
                                              cut.dim, global_size));
  }
  if (cut.fused == 0 || global_size % cut.fused != 0) {
    throw Error(ErrorKind::usage,
                fmt::format("{} along dimension {} are not {} fused tensors", global_size, cut.dim, cut.fused));
  }
  return std::vector<std::uint64_t>(cut.fused, global_size / cut.fused);
}

std::uint64_t global_size_of(const DimensionCut& cut, std::uint64_t local_size, std::uint64_t degree) {
  if (!cut.fused_sizes.empty()) return std::reduce(cut.fused_sizes.begin(), cut.fused_sizes.end());
  if (cut.global_size != 0) return cut.global_size;
  std::uint64_t size = 0;
  if (__builtin_mul_overflow(local_size, degree, &size)) throw Error(ErrorKind::usage, "the global size is too large");
  return size;
}

// The pieces of a dimension that a rank has, in the order in which they lie in its memory.
std::vector<ElementRange> pieces_of(const DimensionCut& cut, std::uint64_t global_size, int part, int parts) {
  std::vector<ElementRange> pieces;
  std::uint64_t before = 0;
  for (const auto size : fused_sizes(cut, global_size)) {
    const auto [first, count] = chunk(size, part, parts);
    if (count > 0) pieces.push_back({before + first, count});
    before += size;
  }
  if (pieces.empty()) pieces.push_back({global_size, 0});
  return pieces;
}

Shard shard_by(const ShardingRule& rule, const Shape& global_shape, const ParallelGrid& grid, int rank) {
  std::vector<Box> boxes{{Shape(global_shape.size(), 0), global_shape}};
  bool is_cut = false;
  for (const auto& cut : rule.cuts) {
    const auto parts = grid.degree(cut.axis);
    if (cut.dim >= global_shape.size()) continue;
    if (parts == 1) {
      // A rule that cannot be is one at any degree.
      static_cast<void>(fused_sizes(cut, global_shape[cut.dim]));
      continue;
    }
    is_cut = true;
    std::vector<Box> cut_boxes;
    for (const auto& [first, count] : pieces_of(cut, global_shape[cut.dim], grid.coordinate(rank, cut.axis), parts)) {
      for (auto box : boxes) {
        box.offset[cut.dim] = first;
        box.shape[cut.dim] = count;
        cut_boxes.push_back(std::move(box));
      }
    }
    boxes = std::move(cut_boxes);
  }
  if (!is_cut) return Shard::whole();
  if (boxes.size() == 1) return Shard::block(std::move(boxes.front().offset), std::move(boxes.front().shape));
  return Shard::blocks(std::move(boxes));
}

// Box by box is how the rank's memory has them only where what is fused is cut along dimension 0 alone.
void require_cuttable(const ShardingRule& rule) {
  for (const auto& cut : rule.cuts) {
    if (cut.dim != 0 && (cut.fused != 1 || !cut.fused_sizes.empty())) {
      throw Error(ErrorKind::usage, fmt::format("tensors fused along dimension {}; only 0 will do", cut.dim));
    }
    const auto same = [&](const auto& other) { return other.dim == cut.dim; };
    if (std::ranges::count_if(rule.cuts, same) != 1) {
      throw Error(ErrorKind::usage, fmt::format("dimension {} is cut twice", cut.dim));
    }
  }
}

[[noreturn]] void rethrow_naming(std::string_view key, const ShardingRule& rule, const Error& error) {
  throw Error(error.kind(), fmt::format("{} (rule {}): {}", key, rule.keys, error.what()));
}

std::vector<std::uint64_t> parse_numbers(std::string_view text) {
  std::vector<std::uint64_t> numbers;
  const auto* at = text.data();
  const auto* end = text.data() + text.size();
  for (;; ++at) {
    const auto [stop, error] = std::from_chars(at, end, numbers.emplace_back());
    if (error != std::errc() || numbers.back() == 0 || (stop != end && *stop != ',')) return {};
    at = stop;
    if (at == end) return numbers;
  }
}

}  // namespace

ShardingRule replicated(std::string keys) { return {.keys = std::move(keys)}; }

ShardingRule column_parallel(std::string keys) { return {.keys = std::move(keys), .cuts = {{.dim = 0}}}; }

ShardingRule row_parallel(std::string keys) { return {.keys = std::move(keys), .cuts = {{.dim = 1}}}; }

ShardingRule vocabulary_parallel(std::string keys, std::uint64_t vocabulary) {
  return {.keys = std::move(keys), .cuts = {{.dim = 0, .global_size = vocabulary}}};
}

ShardingRule fused_column_parallel(std::string keys, std::uint64_t fused) {
  return {.keys = std::move(keys), .cuts = {{.dim = 0, .fused = fused}}};
}

ShardingRule fused_column_parallel(std::string keys, std::vector<std::uint64_t> fused_sizes) {
  return {.keys = std::move(keys), .cuts = {{.dim = 0, .fused_sizes = std::move(fused_sizes)}}};
}

ShardingRule expert_parallel(std::string keys) {
  return {.keys = std::move(keys), .cuts = {{.dim = 0, .axis = Axis::expert}}};
}

ShardingRule expert_column_parallel(std::string keys) {
  return {.keys = std::move(keys), .cuts = {{.dim = 0, .axis = Axis::expert}, {.dim = 1}}};
}

ShardingRule expert_row_parallel(std::string keys) {
  return {.keys = std::move(keys), .cuts = {{.dim = 0, .axis = Axis::expert}, {.dim = 2}}};
}

ShardingRule parse_rule(std::string_view text) {
  const auto equals = text.rfind('=');
  if (equals != std::string_view::npos && equals > 0) {
    const auto keys = std::string(text.substr(0, equals));
    const auto kind = text.substr(equals + 1);
    const auto colon = kind.find(':');
    const auto word = kind.substr(0, colon);
    if (colon == std::string_view::npos) {
      if (word == "replicated") return replicated(keys);
      if (word == "column") return column_parallel(keys);
      if (word == "row") return row_parallel(keys);
      if (word == "vocabulary") return vocabulary_parallel(keys);
      if (word == "expert") return expert_parallel(keys);
      if (word == "expert-column") return expert_column_parallel(keys);
      if (word == "expert-row") return expert_row_parallel(keys);
    } else if (const auto numbers = parse_numbers(kind.substr(colon + 1)); !numbers.empty()) {
      if (word == "vocabulary" && numbers.size() == 1) return vocabulary_parallel(keys, numbers.front());
      if (word == "fused" && numbers.size() == 1) return fused_column_parallel(keys, numbers.front());
      if (word == "fused") return fused_column_parallel(keys, numbers);
    }
  }
  throw Error(ErrorKind::usage,
              fmt::format("\"{}\" is no rule: KEYS=KIND, with KIND one of replicated, column, row, vocabulary, "
                          "vocabulary:SIZE, fused:NUMBER, fused:SIZE,SIZE,..., expert, expert-column, expert-row",
                          text));
}

Placement placement_of(const std::vector<ShardingRule>& rules, std::string_view key, const Shape& local_shape,
                       const ParallelGrid& grid, int rank) {
  const auto* rule = rule_for(rules, key);
  if (rule == nullptr) return {local_shape, Shard::whole()};
  try {
    require_cuttable(*rule);
    auto global_shape = local_shape;
    for (const auto& cut : rule->cuts) {
      const auto parts = grid.degree(cut.axis);
      if (cut.dim >= local_shape.size()) continue;
      auto& size = global_shape[cut.dim];
      size = global_size_of(cut, size, static_cast<std::uint64_t>(parts));
      std::uint64_t held = 0;
      for (const auto& piece : pieces_of(cut, size, grid.coordinate(rank, cut.axis), parts)) held += piece.count;
      if (held == local_shape[cut.dim]) continue;
      throw Error(ErrorKind::usage, fmt::format("shape {} on this rank, but its part of {} along dimension {} is {}",
                                                to_string(local_shape), size, cut.dim, held));
    }
    auto shard = shard_by(*rule, global_shape, grid, rank);
    return {std::move(global_shape), std::move(shard)};
  } catch (const Error& error) {
    rethrow_naming(key, *rule, error);
  }
}

Shard shard_of(const std::vector<ShardingRule>& rules, std::string_view key, const Shape& global_shape,
               const ParallelGrid& grid, int rank) {
  const auto* rule = rule_for(rules, key);
  if (rule == nullptr) return Shard::whole();
  try {
    require_cuttable(*rule);
    for (const auto& cut : rule->cuts) {
      if (cut.dim >= global_shape.size() || cut.global_size == 0 || cut.global_size == global_shape[cut.dim]) continue;
      throw Error(ErrorKind::usage, fmt::format("shape {}, but {} along dimension {} by the rule",
                                                to_string(global_shape), cut.global_size, cut.dim));
    }
    return shard_by(*rule, global_shape, grid, rank);
  } catch (const Error& error) {
    rethrow_naming(key, *rule, error);
  }
}

}  // namespace muster
