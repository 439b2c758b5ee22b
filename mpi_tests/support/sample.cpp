#include "support/sample.hpp"

#include <fcntl.h>

#include <numeric>

#include "base/hash.hpp"
#include "base/posix.hpp"
#include "h5/head.hpp"
#include "h5/tables.hpp"
#include "model/dtypes.hpp"
#include "model/storage_order.hpp"
#include "plan/balance.hpp"
#include "plan/layout.hpp"
#include "store/names.hpp"
#include "store/part.hpp"

namespace muster::test {

std::uint64_t pick(Random& random, std::uint64_t low, std::uint64_t high) {
  return std::uniform_int_distribution<std::uint64_t>(low, high)(random);
}

DType random_dtype(Random& random) { return kAllDTypes.at(pick(random, 0, kAllDTypes.size() - 1)); }

Shard random_part(Random& random, const Shape& shape) {
  const auto elements = element_count(shape);
  switch (random() % 3) {
    case 0:
      return Shard::whole();
    case 1: {
      const auto first = pick(random, 0, elements);
      return Shard::flat(first, pick(random, 0, elements - first));
    }
    default: {
      Shape offset;
      Shape size;
      for (const auto dim : shape) {
        offset.push_back(pick(random, 0, dim));
        size.push_back(pick(random, 0, dim - offset.back()));
      }
      return Shard::block(offset, size);
    }
  }
}

GlobalState replicated(int world_size, std::vector<GlobalTensor> tensors, std::vector<DocumentSlot> documents) {
  GlobalState state;
  state.world_size = world_size;
  state.documents = std::move(documents);
  RankSet everyone(static_cast<std::size_t>(world_size));
  std::iota(everyone.begin(), everyone.end(), 0);
  state.rank_sets.push_back(std::move(everyone));
  for (auto& tensor : tensors) {
    const auto elements = storage_bytes(tensor.dtype, tensor.shape, tensor.chunk_shape) / item_bytes(tensor.dtype);
    if (elements > 0) tensor.ranges = {{{0, elements}, 0}};
  }
  state.tensors = std::move(tensors);
  return state;
}

Layout layout_of(const GlobalState& state, std::uint64_t alignment_bytes) {
  const plan::BalanceOptions options{.node_of_rank = std::vector<int>(static_cast<std::size_t>(state.world_size), 0),
                                     .alignment_bytes = alignment_bytes};
  return plan::lay_out(plan::balance(state, options), alignment_bytes);
}

std::vector<GlobalTensor> Sample::default_tensors() {
  return {{"/model/bias", DType::bfloat16, {77}},
          {"/model/empty", DType::float32, {0, 4}},
          {"/model/mask", DType::boolean, {3, 5}},
          {"/model/weight", DType::float32, {64, 33}},
          {"/optimizer/weight/exp_avg", DType::float64, {2, 1000}},
          {"/optimizer/weight/step", DType::int64, {}}};
}

std::byte payload_byte(std::uint64_t offset) { return static_cast<std::byte>((offset * 2654435761U) >> 16); }

Layout write_sample(const std::filesystem::path& directory, const Sample& sample) {
  const auto state = replicated(sample.world_size, sample.tensors, {{"/scheduler", 1024}, {"/user_content", 1024}});
  auto layout = layout_of(state, sample.alignment_bytes);
  const auto file = store::tag_file(directory, sample.tag);
  std::optional<h5::Head> head;
  store::PartFile part(file, layout, head, store::PartFile::HeadWhen::first);
  TableContents contents;
  contents.run.tag = sample.tag;
  contents.run.step = 1;
  contents.run.sequence = sample.sequence;
  contents.run.saved_at = "2026-01-02T03:04:05Z";
  contents.run.world_size = sample.world_size;
  contents.run.payload_bytes = layout.payload_bytes;
  contents.run.file_bytes = layout.file_bytes;
  contents.documents = {{"/scheduler", R"({"last_epoch":3})"}, {"/user_content", "[1,2.5]"}};
  for (int rank = 0; rank < sample.world_size; ++rank) contents.telemetry.push_back({.rank = rank});
  const posix::File raw(file, O_RDWR);
  for (const auto& extent : layout.extents) {
    Bytes bytes(extent.bytes);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = payload_byte(extent.offset + i);
    raw.write_at(bytes, extent.offset);
    contents.hashes.push_back(hash_bytes(bytes));
  }
  part.seal(layout, *head, contents);
  return layout;
}

}  // namespace muster::test
