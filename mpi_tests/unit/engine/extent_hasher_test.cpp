// Hashes of extents, some of whose bytes come by themselves and some in buffers.

#include "engine/extent_hasher.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "support/sample.hpp"

namespace muster::engine::extent_hasher_test {
namespace {

// Each extent cut at random places, each part of it given in one of the two ways.
TEST(ExtentHasher, HashesExtentsWhateverWayTheirPartsCome) {
  test::Random random(11);
  for (int round = 0; round < 50; ++round) {
    ExtentHasher hasher;
    std::vector<std::uint64_t> expected;
    for (const std::size_t extent_bytes : {std::size_t{1}, std::size_t{300}, std::size_t{70000}, std::size_t{8}}) {
      std::vector<std::byte> extent(extent_bytes);
      std::ranges::generate(extent, [&] { return static_cast<std::byte>(random() & 0xff); });
      expected.push_back(hash_bytes(extent));
      for (std::size_t done = 0; done < extent_bytes;) {
        const auto bytes = std::min<std::size_t>(extent_bytes - done, 1 + random() % extent_bytes);
        const std::span part(extent.data() + done, bytes);
        done += bytes;
        const bool ends = done == extent_bytes;
        if (random() % 2 == 0) {
          hasher.add(part, ends);
          continue;
        }
        std::vector<std::byte> memory(bytes + 64);
        std::ranges::copy(part, memory.begin() + 64);
        StagingBuffer buffer;
        buffer.borrowed = memory;
        buffer.parts.push_back({{64, bytes}, ends});
        hasher.add(buffer);
      }
    }
    EXPECT_THAT(hasher.take(), testing::ElementsAreArray(expected));
  }
}

}  // namespace
}  // namespace muster::engine::extent_hasher_test
