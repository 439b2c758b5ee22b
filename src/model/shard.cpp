#include <fmt/format.h>

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
  shard.offset_ = std::move(offset);
  shard.shape_ = std::move(shape);
  return shard;
}

std::string to_string(const Shard& shard) {
  switch (shard.kind()) {
    case Shard::Kind::whole:
      return "whole";
    case Shard::Kind::flat:
      return fmt::format("elements [{}, {})", shard.first_element(), shard.first_element() + shard.count());
    case Shard::Kind::block: {
      std::string text = "block";
      for (std::size_t dim = 0; dim < shard.shape().size(); ++dim) {
        const auto begin = dim < shard.offset().size() ? shard.offset()[dim] : 0;
        text += fmt::format("{} [{}, {})", dim == 0 ? "" : " x", begin, begin + shard.shape()[dim]);
      }
      return text;
    }
  }
  return "?";
}

namespace {

[[noreturn]] void outside(const Shard& shard, const Shape& global_shape) {
  throw Error(ErrorKind::usage, to_string(shard) + " does not lie inside shape " + to_string(global_shape));
}

// A box is one range when, behind its first dim longer than 1, it spans every dim in full.
std::optional<ElementRange> block_range(const Shard& shard, const Shape& global_shape) {
  const auto& offset = shard.offset();
  const auto& shape = shard.shape();
  if (offset.size() != global_shape.size() || shape.size() != global_shape.size()) outside(shard, global_shape);
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    if (offset[dim] > global_shape[dim] || shape[dim] > global_shape[dim] - offset[dim]) outside(shard, global_shape);
  }
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
      return block_range(shard, global_shape);
  }
  return std::nullopt;
}

}  // namespace muster
