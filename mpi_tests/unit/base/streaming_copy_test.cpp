// Copies past the cache: every size and alignment, and not a byte beyond.

#include "base/streaming_copy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace muster::streaming_copy_test {
namespace {

TEST(StreamingCopy, CopiesAllAndNothingElse) {
  std::vector<std::byte> from(1000);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 % 251);
  for (std::size_t first = 0; first < 70; ++first) {
    for (const std::size_t shift : {0U, 1U, 17U, 64U}) {
      for (std::size_t size = 0; size < 300; ++size) {
        std::vector<std::byte> to(600, std::byte{0xEE});
        streaming_copy(std::span(to).subspan(first, size), std::span(from).subspan(shift, size));
        ASSERT_TRUE(std::equal(to.begin() + static_cast<std::ptrdiff_t>(first),
                               to.begin() + static_cast<std::ptrdiff_t>(first + size),
                               from.begin() + static_cast<std::ptrdiff_t>(shift)));
        ASSERT_EQ(std::ranges::count(to, std::byte{0xEE}),
                  static_cast<std::ptrdiff_t>(to.size() - size) +
                      std::count(from.begin() + static_cast<std::ptrdiff_t>(shift),
                                 from.begin() + static_cast<std::ptrdiff_t>(shift + size), std::byte{0xEE}));
      }
    }
  }
}

}  // namespace
}  // namespace muster::streaming_copy_test
