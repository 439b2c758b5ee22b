// What any grid of ranks saved, with ZeRO or without, any other grid loads: every pair of a list of them, on a small
// transformer with uneven sizes. Each element is held, bit for bit, against a value that follows from its key and its
// index alone, and no byte is read twice.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <muster/muster.hpp>
#include <set>

#include "h5/catalog_reader.hpp"
#include "support/placement.hpp"
#include "support/scratch.hpp"

namespace muster::grid_matrix_test {
namespace {

using test::Scratch;
using test::world_rank;
using test::world_size;

// The bytes of an element, told by the key of its tensor and its row-major number.
std::uint64_t bits_of(const std::string& path, std::uint64_t element) {
  std::uint64_t x = 0xcbf29ce484222325ULL;
  for (const char letter : path) x = (x ^ static_cast<unsigned char>(letter)) * 0x100000001b3ULL;
  x += (element + 1) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// The model. No size is a multiple of all numbers of ranks; 49 words in 8 parts of 7 leave nothing for the last.
constexpr std::uint64_t kHidden = 34;
constexpr std::uint64_t kWords = 49;
constexpr std::uint64_t kFeedForward = 37;
constexpr std::uint64_t kExpertFeedForward = 29;
constexpr std::uint64_t kExperts = 5;
constexpr std::uint64_t kQueryRows = 20;
constexpr std::uint64_t kKeyRows = 10;  // and as many of values
constexpr int kLayers = 3;

enum class Cut : std::uint8_t { none, column, row, fused_qkv, experts_column, experts_row };
enum class Home : std::uint8_t { all_stages, first_stage, last_stage, first_and_last_stage, layer };

struct Weight {
  std::string key;
  Shape shape;
  Cut cut = Cut::none;
  Home home = Home::layer;
  int layer = 0;
};

bool is_expert(const Weight& weight) { return weight.cut == Cut::experts_column || weight.cut == Cut::experts_row; }

std::vector<Weight> make_weights() {
  std::vector<Weight> weights;
  weights.push_back({"embedding.weight", {kWords, kHidden}, Cut::column, Home::first_and_last_stage});  // tied
  weights.push_back({"position.weight", {11, kHidden}, Cut::none, Home::first_stage});
  for (int layer = 0; layer < kLayers; ++layer) {
    const auto add = [&](const std::string& key, Shape shape, Cut cut) {
      weights.push_back({"layers." + std::to_string(layer) + "." + key, std::move(shape), cut, Home::layer, layer});
    };
    const auto qkv_rows = kQueryRows + 2 * kKeyRows;
    add("norm1.weight", {kHidden}, Cut::none);
    add("qkv.weight", {qkv_rows, kHidden}, Cut::fused_qkv);
    add("qkv.bias", {qkv_rows}, Cut::fused_qkv);
    add("proj.weight", {kHidden, kQueryRows}, Cut::row);
    add("proj.bias", {kHidden}, Cut::none);
    add("norm2.weight", {kHidden}, Cut::none);
    if (layer % 2 == 0) {
      add("fc1.weight", {kFeedForward, kHidden}, Cut::column);
      add("fc1.bias", {kFeedForward}, Cut::column);
      add("fc2.weight", {kHidden, kFeedForward}, Cut::row);
    } else {
      add("router.weight", {kExperts, kHidden}, Cut::none);
      add("experts.fc1", {kExperts, kExpertFeedForward, kHidden}, Cut::experts_column);
      add("experts.fc2", {kExperts, kHidden, kExpertFeedForward}, Cut::experts_row);
    }
  }
  weights.push_back({"final_norm.weight", {kHidden}, Cut::none, Home::last_stage});
  return weights;
}

const std::vector<Weight>& weights() {
  static const auto all = make_weights();
  return all;
}

// How the replicas of a parameter share it.
enum class Sharing : std::uint8_t {
  none,         // each has all of the optimizer's state
  rows,         // ZeRO-1: rows of each parameter
  elements,     // ZeRO-1: elements of each parameter
  buffer,       // ZeRO-1: elements of one buffer of all parameters, as Megatron-LM's and DeepSpeed's optimizers do
  all_elements  // elements of each parameter, of the weights as well: FSDP
};

struct Case {
  std::string name;
  int ranks = 1;
  Grid grid = {};
  Sharing sharing = Sharing::none;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"1", 1, {}},
      {"tp2", 2, {.tensor = 2}},
      {"pp2", 2, {.pipeline = 2}},
      {"tp3", 3, {.tensor = 3}},
      {"dp3 buffer", 3, {.data = 3}, Sharing::buffer},
      {"tp2 dp2", 4, {.tensor = 2, .data = 2}},
      {"dp4 all", 4, {.data = 4}, Sharing::all_elements},
      {"tp2 pp2, pipeline first", 4, {.tensor = 2, .pipeline = 2, .order = "pp-tp"}},
      {"dp5 elements", 5, {.data = 5}, Sharing::elements},
      {"tp3 dp2, data first", 6, {.tensor = 3, .data = 2, .order = "dp-tp"}},
      {"tp3 dp2 buffer", 6, {.tensor = 3, .data = 2}, Sharing::buffer},
      {"dp3 ep2 rows", 6, {.data = 3, .expert = 2}, Sharing::rows},
      {"tp7", 7, {.tensor = 7}},
      {"pp7", 7, {.pipeline = 7}},
      {"tp2 pp2 dp2 buffer", 8, {.tensor = 2, .pipeline = 2, .data = 2, .order = "dp-pp-tp"}, Sharing::buffer},
      {"tp2 cp2 ep2 elements", 8, {.tensor = 2, .expert = 2, .context = 2}, Sharing::elements},
      {"ep4 dp2", 8, {.data = 2, .expert = 4}},
      {"tp8", 8, {.tensor = 8}},
  };
  return all;
}

// A rank's part of the tensor, its share of the replicas' work apart.
Shard cut_of(const Weight& weight, const ParallelGrid& grid, int rank) {
  const auto& shape = weight.shape;
  const int part = grid.coordinate(rank, Axis::tensor);
  const int parts = grid.degree(Axis::tensor);
  switch (weight.cut) {
    case Cut::none:
      return Shard::whole();
    case Cut::column:
      return split(shape, 0, part, parts);
    case Cut::row:
      return split(shape, 1, part, parts);
    case Cut::fused_qkv:
      return split_fused(shape, {kQueryRows, kKeyRows, kKeyRows}, part, parts);
    case Cut::experts_column:
    case Cut::experts_row: {
      const std::size_t dim = weight.cut == Cut::experts_column ? 1 : 2;
      auto box = split(shape, dim, part, parts).boxes().front();
      const auto experts = chunk(shape[0], grid.coordinate(rank, Axis::expert), grid.degree(Axis::expert));
      box.offset[0] = experts.first;
      box.shape[0] = experts.count;
      return Shard::block(box.offset, box.shape);
    }
  }
  return {};
}

std::vector<Box> boxes_of(const Shard& shard, const Shape& shape) {
  if (shard.kind() == Shard::Kind::whole) return {{Shape(shape.size(), 0), shape}};
  return shard.boxes();
}

std::uint64_t elements_in(const Shard& shard, const Shape& shape) {
  std::uint64_t elements = 0;
  for (const auto& box : boxes_of(shard, shape)) elements += element_count(box.shape);
  return elements;
}

// Elements [first, first + count) of a box, counted from `dim` inwards, as boxes: the end of a row, rows, and the
// beginning of one.
void append_range(const Box& box, std::size_t dim, std::uint64_t first, std::uint64_t count, std::vector<Box>& to) {
  std::uint64_t row = 1;
  for (auto inner = dim + 1; inner < box.shape.size(); ++inner) row *= box.shape[inner];
  while (count > 0) {
    auto piece = box;
    piece.offset[dim] += first / row;
    auto taken = std::min(row - first % row, count);
    if (taken == row) {
      piece.shape[dim] = count / row;
      taken = piece.shape[dim] * row;
      to.push_back(piece);
    } else {
      piece.shape[dim] = 1;
      append_range(piece, dim + 1, first % row, taken, to);
    }
    first += taken;
    count -= taken;
  }
}

// Some of the elements of a part, counted as they lie in its memory.
Shard part_of(const Shard& shard, const Shape& shape, const ElementRange& elements) {
  const auto boxes = boxes_of(shard, shape);
  if (boxes.size() == 1 && boxes.front().shape == shape) return Shard::flat(elements.first, elements.count);
  std::vector<Box> pieces;
  std::uint64_t before = 0;
  for (const auto& box : boxes) {
    const auto end = before + element_count(box.shape);
    const auto first = std::max(elements.first, before);
    const auto last = std::min(elements.first + elements.count, end);
    if (first < last) append_range(box, 0, first - before, last - first, pieces);
    before = end;
  }
  if (pieces.size() == 1) return Shard::block(pieces.front().offset, pieces.front().shape);
  return Shard::blocks(std::move(pieces));
}

enum class Use : std::uint8_t { save, load };

// What a rank of a grid holds, tensor by tensor.
class Held {
 public:
  Held(const Case& which, int rank, Use use) : case_(which), grid_(which.grid, which.ranks), rank_(rank), use_(use) {
    add("/model/inv_freq", DType::float32, {17}, Shard::whole());
    add("/model/mask", DType::boolean, {3, 13}, Shard::whole());
    add("/model/seen", DType::int64, {}, Shard::whole());
    for (const auto& weight : weights()) {
      if (is_here(weight)) add_parameter(weight);
    }
  }

  std::vector<ShardDescription> take() { return std::move(tensors_); }

 private:
  [[nodiscard]] int at(Axis axis) const { return grid_.coordinate(rank_, axis); }
  [[nodiscard]] bool is_last_stage() const { return at(Axis::pipeline) + 1 == grid_.degree(Axis::pipeline); }

  [[nodiscard]] bool is_here(const Weight& weight) const {
    const int stage = at(Axis::pipeline);
    switch (weight.home) {
      case Home::all_stages:
        return true;
      case Home::first_stage:
        return stage == 0;
      case Home::last_stage:
        return is_last_stage();
      case Home::first_and_last_stage:
        return stage == 0 || is_last_stage();
      case Home::layer: {
        const auto layers = chunk(kLayers, stage, grid_.degree(Axis::pipeline));
        const auto layer = static_cast<std::uint64_t>(weight.layer);
        return layer >= layers.first && layer < layers.first + layers.count;
      }
    }
    return false;
  }

  // The ranks that have the same part of a weight.
  [[nodiscard]] std::vector<int> replicas_of(const Weight& weight) const {
    return is_expert(weight) ? grid_.group(rank_, {Axis::context, Axis::data})
                             : grid_.group(rank_, {Axis::context, Axis::expert, Axis::data});
  }

  // This rank's share of what its replicas have, in elements of their common part.
  [[nodiscard]] ElementRange share_of(const Weight& weight, const Shard& cut) const {
    const auto elements = elements_in(cut, weight.shape);
    const auto replicas = replicas_of(weight);
    const auto parts = static_cast<int>(replicas.size());
    const auto part = static_cast<int>(std::ranges::find(replicas, rank_) - replicas.begin());
    switch (case_.sharing) {
      case Sharing::none:
        return {0, elements};
      case Sharing::rows: {
        std::uint64_t rows = 0;
        for (const auto& box : boxes_of(cut, weight.shape)) rows += box.shape.front();
        const auto row = rows == 0 ? 0 : elements / rows;
        const auto mine = chunk(rows, part, parts);
        return {mine.first * row, mine.count * row};
      }
      case Sharing::elements:
      case Sharing::all_elements:
        return chunk(elements, part, parts);
      case Sharing::buffer: {
        std::uint64_t all = 0;
        std::uint64_t before = 0;
        for (const auto& other : weights()) {
          if (!is_here(other) || is_expert(other) != is_expert(weight)) continue;
          if (other.key == weight.key) before = all;
          all += elements_in(cut_of(other, grid_, rank_), other.shape);
        }
        const auto mine = chunk(all, part, parts);
        const auto first = std::clamp(mine.first, before, before + elements);
        const auto last = std::clamp(mine.first + mine.count, before, before + elements);
        return {first - before, last - first};
      }
    }
    return {};
  }

  void add_parameter(const Weight& weight) {
    const auto cut = cut_of(weight, grid_, rank_);
    const auto share = share_of(weight, cut);
    const auto part = case_.sharing == Sharing::none ? cut : part_of(cut, weight.shape, share);
    add(object_path({"model", weight.key}), DType::bfloat16, weight.shape,
        case_.sharing == Sharing::all_elements ? part : cut);
    // Buffers of other lengths are cut at other places: of a parameter that is in several, one rank saves the
    // state.
    const bool is_in_other_buffers = (weight.cut == Cut::none && at(Axis::tensor) != 0) ||
                                     (weight.home == Home::first_and_last_stage && at(Axis::pipeline) != 0);
    if (use_ == Use::save && case_.sharing == Sharing::buffer && is_in_other_buffers) return;
    for (const auto* slot : {"master", "exp_avg", "exp_avg_sq"}) {
      add(object_path({"optimizer", weight.key, slot}), DType::float32, weight.shape, part);
    }
    if (share.count > 0) add(object_path({"optimizer", weight.key, "step"}), DType::float32, {}, Shard::flat(0, 1));
  }

  void add(std::string path, DType dtype, Shape shape, const Shard& shard) {
    const bool is_nothing = shard.kind() == Shard::Kind::blocks && shard.boxes().empty();
    if (!is_nothing) tensors_.push_back({std::move(path), dtype, std::move(shape), shard});
  }

  Case case_;
  ParallelGrid grid_;
  int rank_;
  Use use_;
  std::vector<ShardDescription> tensors_;
};

std::vector<ShardDescription> held_by(const Case& which, int rank, Use use) { return Held(which, rank, use).take(); }

// The memory behind it, and what it must hold.
class Memory {
 public:
  explicit Memory(const std::vector<ShardDescription>& held) {
    for (const auto& description : held) {
      auto& tensor = tensors_.emplace_back();
      tensor.description = description;
      tensor.elements = test::elements_of(description.shard, description.shape);
      const auto item = item_bytes(description.dtype);
      for (const auto element : tensor.elements) {
        auto bits = bits_of(description.path, element);
        if (description.dtype == DType::boolean) bits &= 1;
        for (std::uint64_t byte = 0; byte < item; ++byte) {
          tensor.expected.push_back(static_cast<std::byte>(bits >> (8 * byte)));
        }
      }
      tensor.bytes = tensor.expected;
    }
  }

  [[nodiscard]] State state() {
    State state;
    for (auto& [description, elements, expected, bytes] : tensors_) {
      state.add(Tensor{description, {.data = bytes.data()}});
    }
    return state;
  }

  // Not one byte is as it must be.
  void spoil() {
    for (auto& tensor : tensors_) {
      std::ranges::transform(tensor.expected, tensor.bytes.begin(), [](std::byte byte) { return ~byte; });
    }
  }

  void expect_values() const {
    for (const auto& [description, elements, expected, bytes] : tensors_) {
      if (bytes == expected) continue;
      const auto item = item_bytes(description.dtype);
      std::size_t wrong = 0;
      std::size_t first = elements.size();
      for (std::size_t i = 0; i < elements.size(); ++i) {
        if (std::equal(bytes.begin() + static_cast<std::ptrdiff_t>(i * item),
                       bytes.begin() + static_cast<std::ptrdiff_t>((i + 1) * item),
                       expected.begin() + static_cast<std::ptrdiff_t>(i * item))) {
          continue;
        }
        ++wrong;
        first = std::min(first, i);
      }
      ADD_FAILURE() << description.path << ", " << to_string(description.shard) << " of "
                    << to_string(description.shape) << ": " << wrong << " of " << elements.size()
                    << " elements are wrong, the first in memory at " << first << ", which is element "
                    << elements[first];
    }
  }

 private:
  struct Part {
    ShardDescription description;
    std::vector<std::uint64_t> elements;
    std::vector<std::byte> expected;
    std::vector<std::byte> bytes;
  };
  std::vector<Part> tensors_;
};

// The first ranks of the world, by their number; null where this rank is not one of them.
class FirstRanks {
 public:
  FirstRanks() : comms_(static_cast<std::size_t>(world_size()) + 1, MPI_COMM_NULL) {
    for (int count = 1; count <= world_size(); ++count) {
      MPI_Comm_split(MPI_COMM_WORLD, world_rank() < count ? 0 : MPI_UNDEFINED, world_rank(), &comms_.at(index(count)));
    }
  }
  ~FirstRanks() {
    for (auto& comm : comms_) {
      if (comm != MPI_COMM_NULL) MPI_Comm_free(&comm);
    }
  }
  FirstRanks(const FirstRanks&) = delete;
  FirstRanks& operator=(const FirstRanks&) = delete;
  [[nodiscard]] MPI_Comm of(int count) const { return comms_.at(index(count)); }

 private:
  static std::size_t index(int count) { return static_cast<std::size_t>(count); }
  std::vector<MPI_Comm> comms_;
};

// Collective over the world: the sum, and the largest of all.
std::uint64_t sum(std::uint64_t mine) {
  std::uint64_t all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
  return all;
}

std::uint64_t largest(std::uint64_t mine) {
  std::uint64_t all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
  return all;
}

// Runs a call on the ranks of a case; what it throws is a failure of the test, and the others do not wait for it.
template <class Call>
void run_on(const Case& which, Call&& call) {
  if (world_rank() >= which.ranks) return;
  try {
    call();
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

bool has_failed_anywhere() { return largest(testing::Test::HasFailure() ? 1 : 0) != 0; }

// What a load may read of storage: of the payload in the file, for gaps; of what is wanted, for the padding of chunks
// too, which is part of that payload. Tensors as small as these, cut unevenly, take more of it than any others.
constexpr double kMostOfPayload = 1.05;
constexpr double kMostOfWanted = 1.12;  // 1.101 are read

std::string tag_of(std::size_t number) { return "case_" + std::to_string(number); }

// Bytes of all tensors, each counted once.
std::uint64_t model_bytes() {
  std::uint64_t bytes = 0;
  for (const auto& held : held_by({"all", 1}, 0, Use::load))
    bytes += element_count(held.shape) * item_bytes(held.dtype);
  return bytes;
}

std::uint64_t payload_span(const std::filesystem::path& file) {
  const auto extents = h5::read_catalog(file).extents;
  return extents.back().end() - extents.front().offset;
}

TEST(GridMatrix, HoldsEveryElementInEveryGrid) {
  // Of the test itself: what no rank of a grid asks for would not be compared.
  const auto all = held_by({"all", 1}, 0, Use::load);
  for (std::size_t number = 0; number < cases().size(); ++number) {
    if (number % static_cast<std::size_t>(world_size()) != static_cast<std::size_t>(world_rank())) continue;
    const auto& which = cases()[number];
    for (const auto use : {Use::save, Use::load}) {
      std::map<std::string, std::set<std::uint64_t>> held;
      for (int rank = 0; rank < which.ranks; ++rank) {
        for (const auto& one : held_by(which, rank, use)) {
          const auto elements = test::elements_of(one.shard, one.shape);
          held[one.path].insert(elements.begin(), elements.end());
        }
      }
      EXPECT_EQ(held.size(), all.size()) << which.name;
      for (const auto& tensor : all) {
        EXPECT_EQ(held[tensor.path].size(), element_count(tensor.shape)) << which.name << " " << tensor.path;
      }
    }
  }
}

// Every kParts-th grid loads what each of all grids saved.
constexpr std::size_t kParts = 3;
class GridMatrixPart : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Loaders, GridMatrixPart, testing::Range(std::size_t{0}, kParts));

TEST_P(GridMatrixPart, BringsEveryGridToItsLoaders) {
  ASSERT_EQ(world_size(), 8);
  const Scratch scratch;
  const FirstRanks ranks;
  // A rank that fails alone must not keep the others for longer than this.
  constexpr double kTimeoutS = 60;

  std::vector<std::uint64_t> payload_bytes(cases().size());  // padding of chunks included
  std::vector<std::uint64_t> span_bytes(cases().size());  // from the first to the last, gaps between tensors included
  for (std::size_t number = 0; number < cases().size(); ++number) {
    const auto& which = cases()[number];
    SCOPED_TRACE("saved by " + which.name);
    run_on(which, [&] {
      Memory memory(held_by(which, world_rank(), Use::save));
      Checkpointer checkpointer(ranks.of(which.ranks), scratch.path(), {.grid = which.grid, .timeout_s = kTimeoutS});
      payload_bytes[number] = checkpointer.save(memory.state(), {.tag = tag_of(number)}).payload_bytes;
    });
    payload_bytes[number] = largest(payload_bytes[number]);
    run_on({"reader", 1}, [&] { span_bytes[number] = payload_span(scratch.path() / (tag_of(number) + ".h5")); });
    span_bytes[number] = largest(span_bytes[number]);
    ASSERT_FALSE(has_failed_anywhere());
  }

  const auto wanted_bytes = model_bytes();
  std::uint64_t most_read = 0;
  std::size_t pairs = 0;
  for (std::size_t loader = GetParam(); loader < cases().size(); loader += kParts) {
    pairs += cases().size();
    const auto& which = cases()[loader];
    std::unique_ptr<Memory> memory;
    std::unique_ptr<Checkpointer> checkpointer;
    run_on(which, [&] {
      memory = std::make_unique<Memory>(held_by(which, world_rank(), Use::load));
      const CheckpointerOptions options{.timeout_s = kTimeoutS};
      checkpointer = std::make_unique<Checkpointer>(ranks.of(which.ranks), scratch.path(), options);
    });
    ASSERT_FALSE(has_failed_anywhere());
    for (std::size_t saver = 0; saver < cases().size(); ++saver) {
      SCOPED_TRACE("saved by " + cases()[saver].name + ", loaded by " + which.name);
      std::uint64_t read_bytes = 0;
      run_on(which, [&] {
        memory->spoil();
        LoadTarget target;
        target.state = memory->state();
        read_bytes = checkpointer->load({.tag = tag_of(saver)}, target).read_bytes;
        memory->expect_values();
      });
      read_bytes = sum(read_bytes);
      most_read = std::max(most_read, read_bytes);
      // All of it, and nothing twice. Gaps that lie between what is read at once are read too.
      EXPECT_GE(read_bytes, payload_bytes[saver]);
      EXPECT_LE(read_bytes, span_bytes[saver]);
      EXPECT_LE(static_cast<double>(read_bytes), kMostOfPayload * static_cast<double>(payload_bytes[saver]));
      EXPECT_LE(static_cast<double>(read_bytes), kMostOfWanted * static_cast<double>(wanted_bytes));
      ASSERT_FALSE(has_failed_anywhere());
    }
  }
  if (world_rank() == 0) {
    std::printf("%zu grids, %zu pairs, at most %.3f bytes read for one of the model (padding and gaps)\n",
                cases().size(), pairs, static_cast<double>(most_read) / static_cast<double>(wanted_bytes));
  }
}

}  // namespace
}  // namespace muster::grid_matrix_test
