// Transfers past the page cache: any offset and length, beside a neighbour's bytes, on any memory.

#include "base/direct_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "base/aligned_memory.hpp"
#include "base/bytes.hpp"
#include "base/file_system.hpp"
#include "support/expect_error.hpp"
#include "support/files.hpp"
#include "support/sample.hpp"

namespace muster::posix::direct_file_test {
namespace {

using test::error_of;
using test::pick;
using test::Random;
using test::TempDir;

constexpr std::size_t kFileBytes = 4 << 20;
using Access = DirectFile::Access;

class DirectFileTest : public testing::Test {
 protected:
  DirectFileTest() {
    const File file(path_, O_CREAT | O_WRONLY);
    file.resize(kFileBytes);
  }

  TempDir directory_;
  std::filesystem::path path_ = directory_.path() / "file";
  Bytes expected_ = Bytes(kFileBytes);
  AlignedMemory memory_{kFileBytes + (1 << 20)};
};

TEST_F(DirectFileTest, WritesAndReadsAnyRange) {
  Random random(11);
  DirectFile writer(path_, Access::write);
  DirectFile reader(path_, Access::read);
  for (int round = 0; round < 200; ++round) {
    const auto bytes = pick(random, 0, round % 2 == 0 ? 5000 : kFileBytes);
    const auto offset = pick(random, 0, kFileBytes - bytes);
    // Congruent to the offset, or not.
    const auto at = offset % writer.block_bytes() + (round % 3 == 0 ? 64 : 0);
    const auto part = memory_.bytes().subspan(at, bytes);
    for (auto& byte : part) byte = static_cast<std::byte>(random());
    std::ranges::copy(part, expected_.begin() + static_cast<std::ptrdiff_t>(offset));
    writer.write_at(part, offset);
    std::ranges::fill(part, std::byte{0});
    reader.read_at(part, offset);
    ASSERT_TRUE(std::ranges::equal(part, std::span(expected_).subspan(offset, bytes))) << offset << " " << bytes;
  }
  writer.sync();
  EXPECT_TRUE(test::read_file(path_) == expected_);
}

TEST_F(DirectFileTest, GoesPastTheCacheWhereTheFileSystemTakesIt) {
  const auto file_system = file_system_of(path_);
  if (file_system != "ext4" && file_system != "xfs" && file_system != "btrfs") {
    GTEST_SKIP() << "not asserted on " << file_system;
  }
  DirectFile file(path_, Access::write);
  const auto block = file.block_bytes();
  file.write_at(memory_.bytes().subspan(100, (1 << 20) - 100), 100);
  EXPECT_EQ(file.direct_bytes(), (1 << 20) - block);
  EXPECT_EQ(file.cached_bytes(), block - 100);
}

// Two threads, each with every second piece of odd size, so that almost every block edge is shared.
TEST_F(DirectFileTest, LeavesANeighboursBytesOfASharedBlock) {
  constexpr std::size_t kPiece = 123457;
  for (std::size_t i = 0; i < kFileBytes; ++i) expected_[i] = static_cast<std::byte>(i * 7 / kPiece + i);
  const auto write_pieces = [&](std::size_t first) {
    DirectFile file(path_, Access::write);
    AlignedMemory memory(kPiece + 4096);
    for (auto offset = first * kPiece; offset < kFileBytes; offset += 2 * kPiece) {
      const auto bytes = std::min(kPiece, kFileBytes - offset);
      const auto part = memory.bytes().subspan(offset % file.block_bytes(), bytes);
      std::ranges::copy(std::span(expected_).subspan(offset, bytes), part.begin());
      file.write_at(part, offset);
    }
  };
  for (int round = 0; round < 20; ++round) {
    std::thread other(write_pieces, 1);
    write_pieces(0);
    other.join();
    ASSERT_TRUE(test::read_file(path_) == expected_) << round;
    const File file(path_, O_WRONLY);
    file.resize(0);
    file.resize(kFileBytes);
  }
}

TEST_F(DirectFileTest, SaysWhereTheFileEnds) {
  DirectFile file(path_, Access::read);
  const auto message =
      error_of(ErrorKind::corrupt, [&] { file.read_at(memory_.bytes().first(2 * 65536), kFileBytes - 65536); });
  EXPECT_NE(message.find("ends at byte"), std::string::npos) << message;
}

TEST_F(DirectFileTest, MustExist) {
  error_of(ErrorKind::not_found, [&] { DirectFile(directory_.path() / "none", Access::write); });
}

}  // namespace
}  // namespace muster::posix::direct_file_test
