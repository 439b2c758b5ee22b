// Any cut of a tensor over some ranks is saved under its global shape, and loaded by other ranks in any other cut: bit
// by bit what an oracle says that counts elements one by one. HDF5 itself reads the same from the file.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <muster/muster.hpp>
#include <optional>

#include "h5/datatype.hpp"
#include "h5/handle.hpp"
#include "support/collective.hpp"
#include "support/placement.hpp"
#include "support/sample.hpp"
#include "support/scratch.hpp"

namespace muster::reshard_test {
namespace {

using test::pick;
using test::Random;
using test::Scratch;
using test::world_rank;
using test::world_size;
using testing::HasSubstr;

// The bytes of an element of a tensor, told by their numbers.
std::byte byte_of(std::uint64_t tensor, std::uint64_t element, std::uint64_t byte) {
  auto x = (tensor << 40) ^ (element * 16 + byte + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<std::byte>(x >> 56);
}

std::vector<std::byte> bytes_of(std::uint64_t tensor, DType dtype, const std::vector<std::uint64_t>& elements) {
  std::vector<std::byte> bytes;
  for (const auto element : elements) {
    for (std::uint64_t byte = 0; byte < item_bytes(dtype); ++byte) {
      // HDF5 would turn other booleans into 1.
      const auto value = byte_of(tensor, element, byte);
      bytes.push_back(dtype == DType::boolean ? value & std::byte{1} : value);
    }
  }
  return bytes;
}

// The first ranks of the world; null on the others.
class FirstRanks {
 public:
  explicit FirstRanks(int count) {
    MPI_Comm_split(MPI_COMM_WORLD, world_rank() < count ? 0 : MPI_UNDEFINED, world_rank(), &comm_);
  }
  ~FirstRanks() {
    if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  }
  FirstRanks(const FirstRanks&) = delete;
  FirstRanks& operator=(const FirstRanks&) = delete;
  [[nodiscard]] bool is_member() const { return comm_ != MPI_COMM_NULL; }
  [[nodiscard]] MPI_Comm handle() const { return comm_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

// Where the parts of a dim begin, its size at the end: equal, as torch.chunk cuts, or anywhere.
Shape cuts_of(Random& random, std::uint64_t size, std::uint64_t parts) {
  Shape cuts{0};
  const bool is_chunked = random() % 2 == 0;
  const auto chunk = (size + parts - 1) / parts;
  for (std::uint64_t part = 1; part < parts; ++part) {
    cuts.push_back(is_chunked ? std::min(size, part * chunk) : pick(random, cuts.back(), size));
  }
  cuts.push_back(size);
  return cuts;
}

// Who holds what of a tensor: one entry a rank, nothing where it holds none of it.
using Sharding = std::vector<std::optional<Shard>>;

Sharding flat_sharding(Random& random, const Shape& shape, int ranks) {
  const auto cuts = cuts_of(random, element_count(shape), static_cast<std::uint64_t>(ranks));
  Sharding sharding;
  for (std::size_t part = 0; part + 1 < cuts.size(); ++part) {
    sharding.emplace_back(Shard::flat(cuts[part], cuts[part + 1] - cuts[part]));
  }
  std::shuffle(sharding.begin(), sharding.end(), random);
  return sharding;
}

// A grid of blocks over the dims; the ranks that are left over hold replicas, or nothing.
Sharding block_sharding(Random& random, const Shape& shape, int ranks) {
  std::vector<Shape> cuts;
  std::uint64_t blocks = 1;
  for (const auto size : shape) {
    const auto parts = pick(random, 1, std::max<std::uint64_t>(1, static_cast<std::uint64_t>(ranks) / blocks));
    cuts.push_back(cuts_of(random, size, parts));
    blocks *= parts;
  }
  Sharding sharding;
  for (std::uint64_t block = 0; block < static_cast<std::uint64_t>(ranks); ++block) {
    if (block >= blocks && random() % 2 == 0) {
      sharding.emplace_back(std::nullopt);
      continue;
    }
    auto number = block % blocks;
    Shape offset;
    Shape size;
    for (const auto& cut : cuts) {
      const auto part = number % (cut.size() - 1);
      number /= cut.size() - 1;
      offset.push_back(cut[part]);
      size.push_back(cut[part + 1] - cut[part]);
    }
    sharding.emplace_back(Shard::block(offset, size));
  }
  std::shuffle(sharding.begin(), sharding.end(), random);
  return sharding;
}

// The rows of three tensors fused into one, each cut over all ranks.
Sharding fused_sharding(Random& random, const Shape& shape, int ranks) {
  if (shape.empty()) return flat_sharding(random, shape, ranks);
  const auto first = pick(random, 0, shape[0]);
  const auto second = pick(random, 0, shape[0] - first);
  Sharding sharding;
  for (int part = 0; part < ranks; ++part) {
    sharding.emplace_back(split_fused(shape, {first, second, shape[0] - first - second}, part, ranks));
  }
  return sharding;
}

// Rows before a cut by columns, the rest as ranges of elements: both kinds in one tensor.
Sharding mixed_sharding(Random& random, const Shape& shape, int ranks) {
  if (ranks < 3 || shape.size() < 2) return block_sharding(random, shape, ranks);
  const auto rows = pick(random, 0, shape[0]);
  auto upper = shape;
  upper[0] = rows;
  const int columns = ranks - 1;
  Sharding sharding;
  for (int part = 0; part < columns; ++part) sharding.emplace_back(split(upper, 1, part, columns));
  const auto before = element_count(upper);
  sharding.emplace_back(Shard::flat(before, element_count(shape) - before));
  return sharding;
}

// That covers the tensor.
Sharding random_sharding(Random& random, const Shape& shape, int ranks) {
  switch (random() % 6) {
    case 0:
      return {static_cast<std::size_t>(ranks), Shard::whole()};
    case 1:
      return flat_sharding(random, shape, ranks);
    case 2:
      return fused_sharding(random, shape, ranks);
    case 3:
      return mixed_sharding(random, shape, ranks);
    default:
      return block_sharding(random, shape, ranks);
  }
}

struct GlobalTensor {
  std::string path;
  DType dtype = DType::float32;
  Shape shape;
};

// The same on all ranks.
std::vector<GlobalTensor> random_tensors(Random& random, int count) {
  std::vector<GlobalTensor> tensors;
  for (int i = 0; i < count; ++i) {
    auto& tensor = tensors.emplace_back();
    tensor.path = object_path({"model", "t" + std::to_string(100 + i)});
    tensor.dtype = test::random_dtype(random);
    const auto dims = pick(random, 0, 4);
    const std::uint64_t largest = dims < 3 ? 200 : 14;
    for (std::uint64_t dim = 0; dim < dims; ++dim)
      tensor.shape.push_back(pick(random, random() % 20 == 0 ? 0 : 1, largest));
  }
  return tensors;
}

// A rank's parts in memory of its own: host memory, or reached through functions.
class Parts {
 public:
  enum class Fill : std::uint8_t { values, nothing };

  void add(const GlobalTensor& tensor, std::uint64_t number, const Shard& shard, Fill fill, bool by_functions) {
    auto& part = parts_.emplace_back();
    part.path = tensor.path;
    part.expected = bytes_of(number, tensor.dtype, test::elements_of(shard, tensor.shape));
    part.bytes = fill == Fill::values ? part.expected : std::vector(part.expected.size(), std::byte{0xEE});
    TensorMemory memory;
    auto* bytes = part.bytes.data();  // stays where it is when parts_ grows
    if (by_functions) {
      memory.read = [bytes](std::uint64_t first, std::span<std::byte> to) {
        std::memcpy(to.data(), bytes + first, to.size());
      };
      memory.write = [bytes](std::uint64_t first, std::span<const std::byte> from) {
        std::memcpy(bytes + first, from.data(), from.size());
      };
    } else {
      memory.data = bytes;
    }
    state_.add(Tensor{{tensor.path, tensor.dtype, tensor.shape, shard}, std::move(memory)});
  }

  [[nodiscard]] const State& state() const { return state_; }
  void expect_values() const {
    for (const auto& part : parts_) EXPECT_EQ(part.bytes, part.expected) << part.path;
  }

 private:
  struct Part {
    std::string path;
    std::vector<std::byte> expected;
    std::vector<std::byte> bytes;
  };
  std::vector<Part> parts_;
  State state_;
};

// What any program sees that knows HDF5 and nothing of muster.
void expect_in_file(const std::filesystem::path& file, const std::vector<GlobalTensor>& tensors) {
  const h5::File opened(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "open");
  for (std::uint64_t i = 0; i < tensors.size(); ++i) {
    const auto& [path, dtype, shape] = tensors[i];
    std::vector<std::uint64_t> all(element_count(shape));
    for (std::uint64_t element = 0; element < all.size(); ++element) all[element] = element;
    const auto expected = bytes_of(i, dtype, all);
    std::vector<std::byte> found(std::max<std::size_t>(1, expected.size()));
    const h5::DatasetHandle dataset(H5Dopen2(opened.get(), path.c_str(), H5P_DEFAULT), path);
    const auto type = h5::tensor_type(dtype);
    h5::check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, found.data()), "read " + path);
    found.resize(expected.size());
    EXPECT_EQ(found, expected) << path << " " << to_string(shape);
  }
}

struct Way {
  EngineChoice engine = EngineChoice::direct;
  bool async = false;
};

void expect_any_cut_to_any_other(std::uint64_t seed, const Way& way) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  const Scratch scratch;
  const auto tensors = random_tensors(random, 40);
  const int savers = static_cast<int>(pick(random, 1, static_cast<std::uint64_t>(world_size())));
  const int loaders = static_cast<int>(pick(random, 1, static_cast<std::uint64_t>(world_size())));
  Parts saved;
  Parts loaded;
  for (std::uint64_t i = 0; i < tensors.size(); ++i) {
    const auto& tensor = tensors[i];
    const auto sharding = random_sharding(random, tensor.shape, savers);
    const bool by_functions = random() % 4 == 0;
    const bool is_mine = world_rank() < savers && sharding[static_cast<std::size_t>(world_rank())].has_value();
    if (is_mine) {
      saved.add(tensor, i, *sharding[static_cast<std::size_t>(world_rank())], Parts::Fill::values, by_functions);
    }
    Random own(seed * 1000 + i * 8 + static_cast<std::uint64_t>(world_rank()));
    const auto request = random() % 2 == 0 ? Shard::whole() : test::random_part(own, tensor.shape);
    if (own() % 8 != 0) loaded.add(tensor, i, request, Parts::Fill::nothing, by_functions);
  }
  if (const FirstRanks group(savers); group.is_member()) {
    Checkpointer checkpointer(group.handle(), scratch.path(), {.engine = way.engine});
    const SaveOptions options{.tag = "t"};
    if (way.async) {
      checkpointer.save_async(saved.state(), options).wait();
    } else {
      checkpointer.save(saved.state(), options);
    }
  }
  MPI_Barrier(MPI_COMM_WORLD);
  if (world_rank() == 0) expect_in_file(scratch.path() / "t.h5", tensors);
  if (const FirstRanks group(loaders); group.is_member()) {
    Checkpointer checkpointer(group.handle(), scratch.path());
    LoadTarget target;
    target.state = loaded.state();
    checkpointer.load({.tag = "t"}, target);
    loaded.expect_values();
  }
}

TEST(Reshard, BringsAnyCutToAnyOther) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) expect_any_cut_to_any_other(seed, {});
}

TEST(Reshard, BringsAnyCutToAnyOtherAfterASaveInTheBackground) {
  for (std::uint64_t seed = 100; seed < 106; ++seed) expect_any_cut_to_any_other(seed, {.async = true});
}

TEST(Reshard, BringsAnyCutToAnyOtherThroughParallelHdf5) {
  for (std::uint64_t seed = 200; seed < 206; ++seed) {
    expect_any_cut_to_any_other(seed, {.engine = EngineChoice::collective});
  }
}

TEST(Reshard, BringsLargeTilesThatAreCutIntoExtents) {
  // Rows past the last chunk's are padding of more than an extent; columns of 3, 3 and 1 are cut within buffers.
  const Scratch scratch;
  const auto ranks = world_size();
  const Shape shape{2049, 7 * 512};
  std::vector<GlobalTensor> tensors{{"/model/w", DType::float32, shape}};
  Parts saved;
  Parts loaded;
  saved.add(tensors[0], 0, split(shape, 1, world_rank(), ranks), Parts::Fill::values, false);
  loaded.add(tensors[0], 0, split(shape, 0, world_rank(), ranks), Parts::Fill::nothing, false);
  for (const auto engine : {EngineChoice::direct, EngineChoice::collective}) {
    Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path(), {.engine = engine});
    const std::string tag(name(engine));
    checkpointer.save(saved.state(), {.tag = tag});
    LoadTarget target;
    target.state = loaded.state();
    checkpointer.load({.tag = tag}, target);
    loaded.expect_values();
  }
}

TEST(Reshard, NamesTheBlockThatIsMissingOrHeldTwiceBeforeAnythingIsWritten) {
  if (world_size() < 2) GTEST_SKIP() << "needs two ranks that cut a tensor";
  const Scratch scratch;
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  const auto columns = static_cast<std::uint64_t>(world_size()) * 4;
  const auto mine = static_cast<std::uint64_t>(world_rank()) * 4;
  const std::vector<float> values(8 * columns, 1.F);
  const auto before = test::snapshot(scratch.path());
  const auto save = [&](std::uint64_t offset, std::uint64_t count) {
    State state;
    state.add("/model/w", DType::float32, {8, columns}, values.data(), Shard::block({0, offset}, {8, count}));
    return test::collective_error(ErrorKind::mismatch, "plan", [&] { checkpointer.save(state, {.tag = "t"}); });
  };
  const bool is_last = world_rank() + 1 == world_size();
  EXPECT_THAT(save(mine, is_last ? 0 : 4).what(), HasSubstr("/model/w: block [0, 8) x [" + std::to_string(columns - 4) +
                                                            ", " + std::to_string(columns) + ") is held by no rank"));
  EXPECT_THAT(save(is_last ? mine - 4 : mine, is_last ? 8 : 4).what(),
              HasSubstr("/model/w: block [0, 8) x [" + std::to_string(columns - 8) + ", " +
                        std::to_string(columns - 4) + ") is held in two different parts, by rank " +
                        std::to_string(world_size() - 2) + " and by rank " + std::to_string(world_size() - 1)));
  EXPECT_EQ(test::snapshot(scratch.path()), before);
}

}  // namespace
}  // namespace muster::reshard_test
