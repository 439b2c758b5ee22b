// Staging, hashing and writing of one rank, with two threads and no MPI: what this test does under ThreadSanitizer too.

#include "engine/staged_write.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "base/hash.hpp"
#include "base/posix.hpp"
#include "support/expect_error.hpp"
#include "support/files.hpp"
#include "support/sample.hpp"

namespace muster::engine {
namespace {

using test::layout_of;
using test::replicated;

// One rank's state in host memory, and the part file that it is to go to.
struct Job {
  explicit Job(const std::vector<std::uint64_t>& sizes, std::uint64_t alignment = 4096) {
    std::vector<PlannedTensor> tensors;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      tensors.push_back({"/model/t" + std::to_string(1000 + i), DType::uint8, {sizes[i]}});
    }
    layout = layout_of(replicated(1, tensors), alignment);
    memory.resize(layout.datasets.size());
    values.resize(layout.datasets.size());
    shards.resize(layout.datasets.size());
    test::Random random(3);
    for (std::size_t i = 0; i < layout.datasets.size(); ++i) {
      const auto& dataset = layout.datasets[i];
      if (dataset.kind != DatasetKind::tensor) continue;
      values[i].resize(dataset.bytes);
      for (auto& byte : values[i]) byte = static_cast<std::byte>(random());
      memory[i].data = values[i].data();
      shards[i] = {&memory[i], 0, dataset.bytes};
    }
    posix::File file(part, O_WRONLY | O_CREAT);
    file.resize(layout.file_bytes);
  }

  void expect_written(const WriteResult& result) const {
    const auto file = test::read_file(part);
    ASSERT_EQ(result.hashes.size(), layout.extents.size());
    for (std::size_t i = 0; i < layout.extents.size(); ++i) {
      const auto& extent = layout.extents[i];
      const auto& saved = values[extent.dataset];
      const auto first = extent.offset - layout.datasets[extent.dataset].offset;
      const std::span expected(saved.data() + first, extent.bytes);
      EXPECT_EQ(result.hashes[i], hash_bytes(expected));
      EXPECT_TRUE(
          std::equal(expected.begin(), expected.end(), file.begin() + static_cast<std::ptrdiff_t>(extent.offset)))
          << "extent " << i;
    }
  }

  test::TempDir directory;
  std::filesystem::path part = directory.path() / "part";
  Layout layout;
  std::vector<TensorMemory> memory;
  std::vector<std::vector<std::byte>> values;
  LocalShards shards;
};

constexpr std::uint64_t kMi = 1 << 20;

TEST(StagedWrite, WritesWhatWasStagedAndHashesIt) {
  for (const auto& sizes : std::vector<std::vector<std::uint64_t>>{
           {}, {1}, {4096}, {5 * kMi + 3, 17, 0, 40 * kMi + 1, 1}, std::vector<std::uint64_t>(3000, 16 << 10)}) {
    for (const std::uint64_t alignment : {512U, 4096U, 1U << 20}) {
      Job job(sizes, alignment);
      StagingPool pool;
      pool.set_limit(20);
      StagedWrite write(job.part, job.layout, 0, pool);
      write.stage(job.shards);
      const auto result = write.run();
      job.expect_written(result);
      EXPECT_GE(write.written_bytes(), result.bytes);
    }
  }
}

TEST(StagedWrite, PipelinesWhatDoesNotFitTheLimit) {
  Job job({70 * kMi + 5, 3, 20 * kMi});
  StagingPool pool;
  pool.set_limit(2);
  StagedWrite write(job.part, job.layout, 0, pool);
  std::thread stager([&] { write.stage(job.shards); });
  const auto result = write.run();
  stager.join();
  job.expect_written(result);
}

TEST(StagedWrite, SharesAPoolWithOthers) {
  constexpr int kWrites = 3;
  StagingPool pool;
  pool.set_limit(3);
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<std::unique_ptr<StagedWrite>> writes;
  for (int i = 0; i < kWrites; ++i) {
    jobs.push_back(std::make_unique<Job>(std::vector<std::uint64_t>{30 * kMi + static_cast<std::uint64_t>(i), 100}));
    writes.push_back(std::make_unique<StagedWrite>(jobs.back()->part, jobs.back()->layout, 0, pool));
  }
  // As a program with several saves in flight: staged one behind the other, written in the same order.
  std::thread stager([&] {
    for (int i = 0; i < kWrites; ++i)
      writes[static_cast<std::size_t>(i)]->stage(jobs[static_cast<std::size_t>(i)]->shards);
  });
  std::vector<WriteResult> results;
  for (auto& write : writes) results.push_back(write->run());
  stager.join();
  for (std::size_t i = 0; i < results.size(); ++i) jobs[i]->expect_written(results[i]);
}

TEST(StagedWrite, EndsWithWhatStagingFailedWith) {
  Job job({40 * kMi, 8});
  auto& last = job.memory.back();
  last.data = nullptr;
  last.read = [](std::uint64_t, std::span<std::byte>) { throw Error(ErrorKind::io, "the device is gone"); };
  StagingPool pool;
  pool.set_limit(2);
  StagedWrite write(job.part, job.layout, 0, pool);
  std::thread stager([&] { EXPECT_THROW(write.stage(job.shards), Error); });
  EXPECT_EQ(test::error_of(ErrorKind::io, [&] { write.run(); }), "the device is gone");
  stager.join();
  EXPECT_STREQ(write.phase(), "stage");
}

TEST(StagedWrite, EndsWithAWriteThatFailsAndGivesAllBuffersBack) {
  Job job({100 * kMi});
  StagingPool pool;
  pool.set_limit(2);
  {
    StagedWrite write(job.part, job.layout, 0, pool);
    // A read of the state long after the limit is reached must not wait for ever.
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{20 << 20, before.rlim_max};
    std::signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    std::thread stager([&] { write.stage(job.shards); });
    EXPECT_THAT(test::error_of(ErrorKind::io, [&] { write.run(); }), testing::HasSubstr("File too large"));
    stager.join();
    setrlimit(RLIMIT_FSIZE, &before);
  }
  EXPECT_TRUE(pool.try_take() && pool.try_take());
}

TEST(StagedWrite, GivenUpBeforeItIsStagedWritesNothing) {
  Job job({kMi});
  StagingPool pool;
  StagedWrite write(job.part, job.layout, 0, pool);
  write.give_up(std::make_exception_ptr(Error(ErrorKind::internal, "given up")));
  EXPECT_THROW(write.stage(job.shards), Error);
  EXPECT_EQ(test::error_of(ErrorKind::internal, [&] { write.run(); }), "given up");
  EXPECT_EQ(write.written_bytes(), 0U);
}

// In the middle of a copy that waits for buffers: both threads must come to an end.
TEST(StagedWrite, GivenUpWhileItIsStagedEndsBothThreads) {
  Job job({100 * kMi});
  for (int round = 0; round < 20; ++round) {
    StagingPool pool;
    pool.set_limit(2);
    StagedWrite write(job.part, job.layout, 0, pool);
    std::thread stager([&] {
      try {
        write.stage(job.shards);
      } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "given up");
      }
    });
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(round));
      write.give_up(std::make_exception_ptr(Error(ErrorKind::internal, "given up")));
    });
    try {
      write.run();
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "given up");
    }
    stager.join();
    other.join();
    auto first = pool.try_take();
    auto second = pool.try_take();
    EXPECT_TRUE(first && second) << "a buffer was lost";
  }
}

TEST(StagingPool, HoldsToItsLimitAndKeepsWhatItHas) {
  StagingPool pool;
  pool.set_limit(3);
  auto a = pool.take();
  auto b = pool.take();
  auto c = pool.take();
  EXPECT_FALSE(pool.try_take());
  const auto* address = b.bytes().data();
  pool.give_back(std::move(b));
  auto again = pool.try_take();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->bytes().data(), address);
  std::atomic<bool> got{false};
  std::thread waiting([&] {
    auto memory = pool.take();
    got = true;
    pool.give_back(std::move(memory));
  });
  pool.give_back(std::move(a));
  waiting.join();
  EXPECT_TRUE(got);
  pool.give_back(std::move(c));
  pool.give_back(std::move(*again));
  pool.set_limit(0);  // two are the least
  auto first = pool.try_take();
  auto second = pool.try_take();
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(pool.try_take());
  pool.give_back(std::move(*first));
  pool.give_back(std::move(*second));
}

}  // namespace
}  // namespace muster::engine
