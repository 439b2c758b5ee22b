// Staging, hashing and writing of one rank, with two threads and no MPI: what this test does under ThreadSanitizer too.

#include "engine/direct_write.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/hash.hpp"
#include "base/posix.hpp"
#include "support/expect_error.hpp"
#include "support/files.hpp"
#include "support/sample.hpp"
#include "support/sync_record.hpp"

namespace muster::engine::direct_write_test {
namespace {

using test::layout_of;
using test::replicated;

// One rank's state in host memory, and the part file that it is to go to.
struct Job {
  explicit Job(const std::vector<std::uint64_t>& sizes, std::uint64_t alignment = 4096) {
    std::vector<GlobalTensor> tensors;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      tensors.push_back({"/model/t" + std::to_string(1000 + i), DType::uint8, {sizes[i]}});
    }
    layout = layout_of(replicated(1, tensors), alignment);
    memory.resize(layout.tensors.size());
    values.resize(layout.tensors.size());
    shards.resize(layout.tensors.size());
    test::Random random(3);
    for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
      values[i].resize(layout.tensors[i].bytes);
      for (std::size_t at = 0; at < values[i].size(); at += sizeof(std::uint64_t)) {
        const std::uint64_t word = random();
        std::memcpy(values[i].data() + at, &word, std::min(sizeof word, values[i].size() - at));
      }
      memory[i].data = values[i].data();
      shards[i] = {{0, layout.tensors[i].bytes}, &memory[i]};
    }
    posix::File file(part, O_WRONLY | O_CREAT);
    file.resize(layout.file_bytes);
  }

  void expect_written(const WriteResult& result) const {
    const auto file = test::read_file(part);
    ASSERT_EQ(result.hashes.size(), layout.extents.size());
    for (std::size_t i = 0; i < layout.extents.size(); ++i) {
      const auto& extent = layout.extents[i];
      const auto& saved = values[extent.tensor];
      const auto first = extent.offset - layout.tensors[extent.tensor].offset;
      const std::span expected(saved.data() + first, extent.bytes);
      EXPECT_EQ(result.hashes[i], hash_bytes(expected));
      EXPECT_EQ(std::memcmp(expected.data(), file.data() + extent.offset, expected.size()), 0) << "extent " << i;
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

TEST(DirectWrite, WritesWhatWasStagedAndHashesIt) {
  for (const auto& sizes : std::vector<std::vector<std::uint64_t>>{
           {}, {1}, {4096}, {5 * kMi + 3, 17, 0, 40 * kMi + 1, 1}, std::vector<std::uint64_t>(3000, 16 << 10)}) {
    for (const std::uint64_t alignment : {512U, 4096U, 1U << 20}) {
      Job job(sizes, alignment);
      StagingPool pool;
      pool.set_limit(20);
      DirectWrite write(job.part, job.layout, 0, job.shards, pool);
      write.stage();
      const test::SyncRecord syncs;
      const auto result = write.run();
      job.expect_written(result);
      EXPECT_TRUE(syncs.has_synced(job.part));
      EXPECT_GE(write.written_bytes(), result.bytes);
    }
  }
}

TEST(DirectWrite, PipelinesWhatDoesNotFitTheLimit) {
  Job job({70 * kMi + 5, 3, 20 * kMi});
  StagingPool pool;
  pool.set_limit(2);
  DirectWrite write(job.part, job.layout, 0, job.shards, pool);
  std::thread stager([&] { write.stage(); });
  const auto result = write.run();
  stager.join();
  job.expect_written(result);
}

TEST(DirectWrite, SharesAPoolWithOthers) {
  constexpr int kWrites = 3;
  StagingPool pool;
  pool.set_limit(3);
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<std::unique_ptr<DirectWrite>> writes;
  for (int i = 0; i < kWrites; ++i) {
    jobs.push_back(std::make_unique<Job>(std::vector<std::uint64_t>{30 * kMi + static_cast<std::uint64_t>(i), 100}));
    writes.push_back(
        std::make_unique<DirectWrite>(jobs.back()->part, jobs.back()->layout, 0, jobs.back()->shards, pool));
  }
  // As a program with several saves in flight: staged one behind the other, written in the same order.
  std::thread stager([&] {
    for (int i = 0; i < kWrites; ++i) writes[static_cast<std::size_t>(i)]->stage();
  });
  std::vector<WriteResult> results;
  for (auto& write : writes) results.push_back(write->run());
  stager.join();
  for (std::size_t i = 0; i < results.size(); ++i) jobs[i]->expect_written(results[i]);
}

TEST(DirectWrite, EndsWithWhatStagingFailedWith) {
  Job job({40 * kMi, 8});
  auto& last = job.memory.back();
  last.data = nullptr;
  last.read = [](std::uint64_t, std::span<std::byte>) { throw Error(ErrorKind::io, "the device is gone"); };
  StagingPool pool;
  pool.set_limit(2);
  DirectWrite write(job.part, job.layout, 0, job.shards, pool);
  std::thread stager([&] { EXPECT_THROW(write.stage(), Error); });
  EXPECT_EQ(test::error_of(ErrorKind::io, [&] { write.run(); }), "the device is gone");
  stager.join();
  EXPECT_EQ(write.phase(), SavePhase::stage);
}

TEST(DirectWrite, EndsWithAWriteThatFailsAndGivesAllBuffersBack) {
  Job job({100 * kMi});
  StagingPool pool;
  pool.set_limit(2);
  {
    DirectWrite write(job.part, job.layout, 0, job.shards, pool);
    // A read of the state long after the limit is reached must not wait for ever.
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{20 << 20, before.rlim_max};
    std::signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    std::thread stager([&] { write.stage(); });
    EXPECT_THAT(test::error_of(ErrorKind::io, [&] { write.run(); }), testing::HasSubstr("File too large"));
    stager.join();
    setrlimit(RLIMIT_FSIZE, &before);
  }
  EXPECT_TRUE(pool.try_take() && pool.try_take());
}

TEST(DirectWrite, GivenUpBeforeItIsDirectWritesNothing) {
  Job job({kMi});
  StagingPool pool;
  DirectWrite write(job.part, job.layout, 0, job.shards, pool);
  write.give_up(std::make_exception_ptr(Error(ErrorKind::internal, "given up")));
  EXPECT_THROW(write.stage(), Error);
  EXPECT_EQ(test::error_of(ErrorKind::internal, [&] { write.run(); }), "given up");
  EXPECT_EQ(write.written_bytes(), 0U);
}

// In the middle of a copy that waits for buffers: both threads must come to an end.
TEST(DirectWrite, GivenUpWhileItIsStagedEndsBothThreads) {
  Job job({100 * kMi});
  for (int round = 0; round < 20; ++round) {
    StagingPool pool;
    pool.set_limit(2);
    DirectWrite write(job.part, job.layout, 0, job.shards, pool);
    std::thread stager([&] {
      try {
        write.stage();
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

// What nobody stages is written by way of buffers beside the pool: no memory of the pool's, the same bytes and hashes.
TEST(DirectWrite, WritesThroughWhatNobodyStages) {
  for (const auto& sizes : std::vector<std::vector<std::uint64_t>>{
           {}, {1}, {5 * kMi + 3, 17, 0, 40 * kMi + 1, 1}, std::vector<std::uint64_t>(3000, 16 << 10)}) {
    for (const std::uint64_t alignment : {512U, 1U << 20}) {
      Job job(sizes, alignment);
      StagingPool pool;
      pool.set_limit(2);
      const auto first = pool.take();
      const auto second = pool.take();
      DirectWrite write(job.part, job.layout, 0, job.shards, pool);
      write.write_through();
      std::atomic<int> told{0};
      write.on_staged([&] { ++told; });
      job.expect_written(write.run());
      EXPECT_EQ(told, 1);
      write.stage();  // nothing is left
      EXPECT_EQ(told, 1);
    }
  }
}

// At a random moment of the write: the rest is copied, and what is copied does not change with the state.
TEST(DirectWrite, StagesTheRestOfWhatIsWrittenThrough) {
  const std::vector<std::uint64_t> sizes{30 * kMi + 5, 3, 20 * kMi, 100, 9 * kMi};
  const Job same(sizes);
  Job job(sizes);
  test::Random random(7);
  int mixed = 0;
  for (int round = 0; round < 8; ++round) {
    for (std::size_t i = 0; i < same.values.size(); ++i) {
      if (!same.values[i].empty()) std::memcpy(job.values[i].data(), same.values[i].data(), same.values[i].size());
    }
    StagingPool pool;
    pool.set_limit(round % 2 == 0 ? 2 : 20);
    DirectWrite write(job.part, job.layout, 0, job.shards, pool);
    write.write_through();
    write.limit_rate(400e6);  // parts of half an extent, one in 20 ms
    std::atomic<bool> is_staged{false};
    write.on_staged([&] { is_staged = true; });
    const auto pause = std::chrono::microseconds(random() % 30000);
    std::thread program([&] {
      std::this_thread::sleep_for(pause);
      write.stage();
      EXPECT_TRUE(is_staged);
      for (auto& bytes : job.values) {
        if (!bytes.empty()) std::memset(bytes.data(), 0xee, bytes.size());
      }
    });
    const auto result = write.run();
    program.join();
    std::filesystem::copy_file(job.part, same.part, std::filesystem::copy_options::overwrite_existing);
    same.expect_written(result);
    EXPECT_TRUE(pool.try_take() && pool.try_take()) << "a buffer was lost";
    if (write.write_through_bytes() > 0 && write.write_through_bytes() < write.written_bytes()) ++mixed;
  }
  EXPECT_GT(mixed, 0);
}

// The first part goes out at once, and so must be a small one.
TEST(DirectWrite, WritesThroughInSmallPartsWhereARateIsSet) {
  const Job job({4 * kMi});
  StagingPool pool;
  DirectWrite write(job.part, job.layout, 0, job.shards, pool);
  write.write_through();
  write.limit_rate(40e6);
  std::atomic<std::uint64_t> first_bytes{0};
  write.on_progress([&] {
    std::uint64_t none = 0;
    first_bytes.compare_exchange_strong(none, write.written_bytes());
  });
  job.expect_written(write.run());
  EXPECT_GT(first_bytes, 0U);
  EXPECT_LE(first_bytes, 2 * kMi) << "of two threads, each at most 20 ms of the rate";
}

TEST(DirectWrite, EndsByItselfWhereWritingThroughFails) {
  Job job({40 * kMi, 8});
  StagingPool pool;
  {
    auto& last = job.memory.back();
    last.data = nullptr;
    last.read = [](std::uint64_t, std::span<std::byte>) { throw Error(ErrorKind::io, "the device is gone"); };
    DirectWrite write(job.part, job.layout, 0, job.shards, pool);
    write.write_through();
    EXPECT_EQ(test::error_of(ErrorKind::io, [&] { write.run(); }), "the device is gone");
    EXPECT_EQ(write.phase(), SavePhase::stage);
    EXPECT_EQ(test::error_of(ErrorKind::io, [&] { write.stage(); }), "the device is gone");
  }
  {
    DirectWrite write(job.part, job.layout, 0, job.shards, pool);
    write.write_through();
    write.give_up(std::make_exception_ptr(Error(ErrorKind::internal, "given up")));
    EXPECT_EQ(test::error_of(ErrorKind::internal, [&] { write.run(); }), "given up");
    EXPECT_EQ(write.written_bytes(), 0U);
  }
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{20 << 20, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  for (const bool is_staged_meanwhile : {false, true}) {
    Job large({60 * kMi});
    DirectWrite write(large.part, large.layout, 0, large.shards, pool);
    write.write_through();
    std::atomic<bool> told{false};
    write.on_staged([&] { told = true; });
    setrlimit(RLIMIT_FSIZE, &small);
    std::thread program([&] {
      try {
        if (is_staged_meanwhile) write.stage();
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("File too large"));
      }
    });
    EXPECT_THAT(test::error_of(ErrorKind::io, [&] { write.run(); }), testing::HasSubstr("File too large"));
    program.join();
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(write.phase(), SavePhase::write);
    EXPECT_TRUE(told);
  }
  EXPECT_TRUE(pool.try_take() && pool.try_take());
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
}  // namespace muster::engine::direct_write_test
