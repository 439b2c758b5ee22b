// One tensor beyond 4 GiB, which no 32-bit size survives. It is made and checked on the fly, so it needs disk, not
// memory.

#include <gtest/gtest.h>

#include <cstring>
#include <muster/muster.hpp>

#include "support/scratch.hpp"

namespace muster::large_tensor_test {
namespace {

constexpr std::uint64_t kBytes = (std::uint64_t{4} << 30) + (std::uint64_t{3} << 20) + 24;

// Element i of the tensor is i times an odd number: different in every word, cheap to make.
std::uint64_t element(std::uint64_t index) { return index * 0x9e3779b97f4a7c15; }

TEST(LargeTensor, BeyondFourGiBComesBack) {
  const test::Scratch scratch;
  if (std::filesystem::space(scratch.path()).available < kBytes + (std::uint64_t{1} << 30)) {
    GTEST_SKIP() << "less than 5 GiB free in " << scratch.path();
  }
  const ShardDescription description{"/model/large", DType::int64, {kBytes / 8}, Shard::whole()};
  State state;
  state.add(Tensor{description,
                   {.data = nullptr,
                    .read =
                        [](std::uint64_t first_byte, std::span<std::byte> to) {
                          for (std::uint64_t i = 0; i < to.size() / 8; ++i) {
                            const auto value = element(first_byte / 8 + i);
                            std::memcpy(to.data() + 8 * i, &value, 8);
                          }
                        },
                    .write = {}}});
  const auto report = save_checkpoint(MPI_COMM_WORLD, scratch.path(), state, {.tag = "large"});
  EXPECT_EQ(report.payload_bytes, kBytes);

  std::uint64_t seen = 0;
  std::uint64_t wrong = 0;
  LoadTarget target;
  target.state.add(
      Tensor{description,
             {.data = nullptr, .read = {}, .write = [&](std::uint64_t first_byte, std::span<const std::byte> from) {
                for (std::uint64_t i = 0; i < from.size() / 8; ++i) {
                  std::uint64_t value = 0;
                  std::memcpy(&value, from.data() + 8 * i, 8);
                  if (value != element(first_byte / 8 + i)) ++wrong;
                }
                seen += from.size();
              }}});
  load_checkpoint(MPI_COMM_WORLD, scratch.path(), target);
  EXPECT_EQ(seen, kBytes);
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace muster::large_tensor_test
