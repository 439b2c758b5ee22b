#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <muster/state.hpp>
#include <utility>

namespace muster {

Shard Shard::whole() { return {}; }

Shard Shard::flat(std::uint64_t first_element, std::uint64_t count) {
  Shard shard;
  shard.kind_ = Kind::flat;
  shard.first_ = first_element;
  shard.count_ = count;
  return shard;
}

Shard Shard::block(Shape offset, Shape shape) {
  Shard shard;
  shard.kind_ = Kind::block;
  shard.boxes_.push_back({std::move(offset), std::move(shape)});
  return shard;
}

Shard Shard::blocks(std::vector<Box> boxes) {
  Shard shard;
  shard.kind_ = Kind::blocks;
  shard.boxes_ = std::move(boxes);
  return shard;
}

namespace {

std::string text_of(const Box& box) {
  std::string text;
  for (std::size_t dim = 0; dim < box.shape.size(); ++dim) {
    const auto begin = dim < box.offset.size() ? box.offset[dim] : 0;
    text += fmt::format("{} [{}, {})", dim == 0 ? "" : " x", begin, begin + box.shape[dim]);
  }
  return text;
}

}  // namespace

std::string to_string(const Shard& shard) {
  switch (shard.kind()) {
    case Shard::Kind::whole:
      return "whole";
    case Shard::Kind::flat:
      return fmt::format("elements [{}, {})", shard.first_element(), shard.first_element() + shard.count());
    case Shard::Kind::block:
      return "block" + text_of(shard.boxes().front());
    case Shard::Kind::blocks: {
      std::string text = "blocks";
      for (const auto& box : shard.boxes()) text += (text == "blocks" ? "" : " and") + text_of(box);
      return text;
    }
  }
  return "?";
}

namespace {

[[noreturn]] void outside(const Shard& shard, const Shape& global_shape) {
  throw Error(ErrorKind::usage, to_string(shard) + " does not lie inside shape " + to_string(global_shape));
}

void check_inside(const Shard& shard, const Box& box, const Shape& global_shape) {
  const auto& [offset, shape] = box;
  if (offset.size() != global_shape.size() || shape.size() != global_shape.size()) outside(shard, global_shape);
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    if (offset[dim] > global_shape[dim] || shape[dim] > global_shape[dim] - offset[dim]) outside(shard, global_shape);
  }
}

// A box is one range when, behind its first dim longer than 1, it spans every dim in full.
std::optional<ElementRange> box_range(const Box& box, const Shape& global_shape) {
  const auto& [offset, shape] = box;
  const auto count = element_count(shape);
  if (count == 0) return ElementRange{0, 0};
  std::uint64_t first = 0;
  std::size_t open_dim = 0;
  while (open_dim < shape.size() && shape[open_dim] == 1) ++open_dim;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    first = first * global_shape[dim] + offset[dim];
    if (dim > open_dim && shape[dim] != global_shape[dim]) return std::nullopt;
  }
  return ElementRange{first, count};
}

bool overlap(const Box& a, const Box& b) {
  for (std::size_t dim = 0; dim < a.shape.size(); ++dim) {
    const auto first = std::max(a.offset[dim], b.offset[dim]);
    const auto last = std::min(a.offset[dim] + a.shape[dim], b.offset[dim] + b.shape[dim]);
    if (first >= last) return false;
  }
  return true;
}

void check_blocks(const Shard& shard, const Shape& global_shape) {
  const auto& boxes = shard.boxes();
  for (auto box = boxes.begin(); box != boxes.end(); ++box) {
    check_inside(shard, *box, global_shape);
    if (std::any_of(boxes.begin(), box, [&](const auto& other) { return overlap(other, *box); })) {
      throw Error(ErrorKind::usage, to_string(shard) + " overlap each other");
    }
  }
}

}  // namespace

std::optional<ElementRange> contiguous_range(const Shard& shard, const Shape& global_shape) {
  const auto elements = element_count(global_shape);
  switch (shard.kind()) {
    case Shard::Kind::whole:
      return ElementRange{0, elements};
    case Shard::Kind::flat:
      if (shard.first_element() > elements || shard.count() > elements - shard.first_element()) {
        outside(shard, global_shape);
      }
      return ElementRange{shard.first_element(), shard.count()};
    case Shard::Kind::block:
      check_inside(shard, shard.boxes().front(), global_shape);
      return box_range(shard.boxes().front(), global_shape);
    case Shard::Kind::blocks:
      check_blocks(shard, global_shape);
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace muster
