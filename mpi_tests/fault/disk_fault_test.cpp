// What disks and file systems do: files that may not grow, no space, no permission, a file in the way.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "base/failpoint.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::disk_fault_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::snapshot;
using test::world_rank;
using test::world_size;
using testing::HasSubstr;

// While it lives, this process cannot write beyond so many bytes of a file.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_DFL);  // which ends the process, were it let through
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

constexpr std::size_t kLargeBytes = 36 << 20;
constexpr rlim_t kLimitBytes = 1 << 20;

std::byte value_at(std::uint64_t index) { return static_cast<std::byte>(index * 31 % 256); }

// A tensor with more than one extent.
State large_state() {
  State state;
  TensorMemory memory;
  memory.read = [](std::uint64_t first, std::span<std::byte> to) {
    for (auto& byte : to) byte = value_at(first++);
  };
  state.add(Tensor{{"/model/large", DType::uint8, {kLargeBytes}, Shard::whole()}, std::move(memory)});
  return state;
}

LoadTarget large_target(std::vector<std::byte>& bytes) {
  bytes.assign(kLargeBytes, std::byte{0});
  LoadTarget target;
  target.state.add_mutable("/model/large", DType::uint8, {kLargeBytes}, bytes.data());
  return target;
}

class DiskFault : public testing::Test {
 protected:
  void save_before(Checkpointer& checkpointer) { checkpointer.save(model_.state(), {.tag = "before"}); }

  // The large state can be saved and loaded.
  static void expect_works(Checkpointer& checkpointer, const std::string& tag) {
    checkpointer.save(large_state(), {.tag = tag});
    std::vector<std::byte> bytes;
    checkpointer.load({.tag = tag}, large_target(bytes));
    for (std::size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], value_at(i)) << i;
  }

  Scratch scratch_;
  Model model_{3};
};

TEST_F(DiskFault, AFileThatMayNotGrowFailsOnAllRanks) {
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch_.path());
  save_before(checkpointer);
  const auto before = snapshot(scratch_.path());
  for (int round = 0; round < 2; ++round) {
    std::optional<FileSizeLimit> limit;
    if (world_rank() == 0) limit.emplace(kLimitBytes);
    const auto error =
        collective_error(ErrorKind::io, "open", [&] { checkpointer.save(large_state(), {.tag = "failed"}); });
    EXPECT_THAT(error.what(), HasSubstr("File too large"));
    EXPECT_EQ(snapshot(scratch_.path()), before);
  }
  expect_works(checkpointer, "after");
}

// Rank 0 makes the file in its full size; another rank meets its limit in the middle of the payload: at its first byte,
// or after a short write.
TEST_F(DiskFault, AWriteThatIsRefusedHalfwayFailsOnAllRanks) {
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch_.path());
  save_before(checkpointer);
  auto before = snapshot(scratch_.path());
  for (const auto engine : {EngineChoice::direct, EngineChoice::collective}) {
    Checkpointer failing(MPI_COMM_WORLD, scratch_.path(), {.engine = engine});
    for (int rank = 1; rank < world_size(); ++rank) {
      for (const rlim_t limit_bytes : {kLimitBytes, kLargeBytes / 3 * static_cast<rlim_t>(rank) + (5 << 20) + 123}) {
        SCOPED_TRACE(std::string(name(engine)) + ", rank " + std::to_string(rank) + " up to " +
                     std::to_string(limit_bytes));
        std::optional<FileSizeLimit> limit;
        if (world_rank() == rank) limit.emplace(limit_bytes);
        const auto error =
            collective_error(ErrorKind::io, "write", [&] { failing.save(large_state(), {.tag = "failed"}); });
        ASSERT_EQ(error.failures().size(), 1U) << error.what();
        EXPECT_EQ(error.failures()[0].rank, rank);
        // MPI-IO does not tell HDF5 why.
        EXPECT_THAT(error.what(), HasSubstr(engine == EngineChoice::direct ? "File too large" : ".failed.g1.h5.part"));
        limit.reset();
        EXPECT_EQ(snapshot(scratch_.path()), before);
        if (HasFailure()) return;
      }
    }
    expect_works(checkpointer, "after_" + std::string(name(engine)));
    before = snapshot(scratch_.path());
  }
}

// A disk of a few megabytes: the directory that $MUSTER_TEST_SMALL_DISK names, or a tmpfs mounted by rank 0 where that
// is allowed.
class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& at) : at_(at) {
    if (const char* given = std::getenv("MUSTER_TEST_SMALL_DISK")) {
      at_ = given;
      usable_ = true;
      return;
    }
    int mounted = 0;
    if (world_rank() == 0) {
      std::filesystem::create_directory(at_);
      mounted = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, "size=16m") == 0 ? 1 : 0;
    }
    MPI_Bcast(&mounted, 1, MPI_INT, 0, MPI_COMM_WORLD);
    mounted_ = usable_ = mounted == 1;
  }
  ~SmallDisk() {
    MPI_Barrier(MPI_COMM_WORLD);
    if (mounted_ && world_rank() == 0) ::umount2(at_.c_str(), MNT_DETACH);
    MPI_Barrier(MPI_COMM_WORLD);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] bool usable() const { return usable_; }
  [[nodiscard]] const std::filesystem::path& path() const { return at_; }
  // Collective.
  [[nodiscard]] std::uint64_t free_bytes() const {
    MPI_Barrier(MPI_COMM_WORLD);
    if (world_rank() == 0) ::sync();
    MPI_Barrier(MPI_COMM_WORLD);
    return std::filesystem::space(at_).free;
  }

 private:
  std::filesystem::path at_;
  bool mounted_ = false;
  bool usable_ = false;
};

// Where space can be reserved a full disk is found before the payload is written; else (ext2) by some write.
std::string phase_of_full_disk(const std::filesystem::path& directory) {
  int reserves = 0;
  if (world_rank() == 0) {
    const auto probe = directory / "probe";
    const int file = ::open(probe.c_str(), O_CREAT | O_WRONLY, 0666);
    reserves = ::fallocate(file, 0, 0, 4096) == 0 ? 1 : 0;
    ::close(file);
    std::filesystem::remove(probe);
  }
  MPI_Bcast(&reserves, 1, MPI_INT, 0, MPI_COMM_WORLD);
  return reserves == 1 ? "open" : "write";
}

TEST_F(DiskFault, AFullDiskFailsABackgroundSaveOnAllRanks) {
  const SmallDisk disk(scratch_.path() / "small");
  if (!disk.usable()) GTEST_SKIP() << "mounting a tmpfs is not allowed here";
  const auto directory = disk.path() / "background";
  Checkpointer checkpointer(MPI_COMM_WORLD, directory);
  checkpointer.save_async(model_.state(), {.tag = "before"}).wait();
  const auto phase = phase_of_full_disk(disk.path());
  const auto before = snapshot(directory);
  const auto free_before = disk.free_bytes();
  for (int round = 0; round < 2; ++round) {
    const auto error = collective_error(ErrorKind::io, phase,
                                        [&] { checkpointer.save_async(large_state(), {.tag = "failed"}).wait(); });
    EXPECT_THAT(error.what(), HasSubstr("No space left on device"));
    EXPECT_EQ(snapshot(directory), before);
    EXPECT_GE(disk.free_bytes() + (1 << 20), free_before) << "space was not given back";
  }
  checkpointer.save_async(model_.state(), {.tag = "after"}).wait();
  Model again(0);
  EXPECT_EQ(checkpointer.load({}, again.target()).contents.tag, "after");
}

TEST_F(DiskFault, AFullDiskFailsOnAllRanksAndKeepsEarlierTags) {
  const SmallDisk disk(scratch_.path() / "small");
  if (!disk.usable()) GTEST_SKIP() << "mounting a tmpfs is not allowed here";
  Checkpointer checkpointer(MPI_COMM_WORLD, disk.path());
  save_before(checkpointer);
  const auto phase = phase_of_full_disk(disk.path());
  const auto before = snapshot(disk.path());
  const auto free_before = disk.free_bytes();
  for (const auto engine : {EngineChoice::direct, EngineChoice::collective, EngineChoice::direct}) {
    Checkpointer failing(MPI_COMM_WORLD, disk.path(), {.engine = engine});
    const auto error = collective_error(ErrorKind::io, phase, [&] { failing.save(large_state(), {.tag = "failed"}); });
    // MPI-IO does not tell HDF5 why.
    const bool tells = phase == "open" || engine == EngineChoice::direct;
    EXPECT_THAT(error.what(), HasSubstr(tells ? "No space left on device" : ".failed.g1.h5.part"));
    EXPECT_EQ(snapshot(disk.path()), before) << error.what();
    EXPECT_GE(disk.free_bytes() + (1 << 20), free_before) << "space was not given back";
  }
  Model again(0);
  EXPECT_EQ(checkpointer.load({}, again.target()).contents.tag, "before");
  EXPECT_EQ(again, model_);
  checkpointer.save(model_.state(), {.tag = "after"});
  EXPECT_EQ(checkpointer.latest_tag(), "after");
}

// There is room for two tags. The third one finds that of a retired one still on its way back.
TEST_F(DiskFault, ASaveWaitsForTheSpaceOfRetiredTags) {
  const SmallDisk disk(scratch_.path() / "small");
  if (!disk.usable()) GTEST_SKIP() << "mounting a tmpfs is not allowed here";
  if (phase_of_full_disk(disk.path()) != "open") GTEST_SKIP() << "this file system does not reserve space";
  State state;
  std::vector<std::byte> bytes(disk.free_bytes() * 2 / 5, std::byte{1});
  state.add("/model/t", DType::uint8, {bytes.size()}, bytes.data());
  Checkpointer checkpointer(MPI_COMM_WORLD, disk.path() / "ckpts", {.retention = {.newest = 1}});
  checkpointer.save(state, {.tag = "first"});
  failpoint::arm("space.release", "hold");
  checkpointer.save_async(state, {.tag = "second"}).wait();
  {
    const std::jthread later([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      failpoint::disarm_all();
    });
    checkpointer.save(state, {.tag = "third"});
  }
  EXPECT_EQ(checkpointer.latest_tag(), "third");
}

TEST_F(DiskFault, ADirectoryThatIsAFileIsAnError) {
  const auto path = scratch_.path() / "file";
  if (world_rank() == 0) test::write_text(path, "in the way");
  MPI_Barrier(MPI_COMM_WORLD);
  for (const auto& directory : {path, path / "below"}) {
    Checkpointer checkpointer(MPI_COMM_WORLD, directory);
    EXPECT_THAT(
        collective_error(ErrorKind::io, "open", [&] { checkpointer.save(model_.state(), {.tag = "t"}); }).what(),
        HasSubstr("create directory"));
    Model again(0);
    EXPECT_THAT(collective_error(ErrorKind::io, "find", [&] { checkpointer.load({}, again.target()); }).what(),
                HasSubstr("Not a directory"));
  }
  EXPECT_EQ(std::filesystem::file_size(path), 10U);
}

TEST_F(DiskFault, ADirectoryThatMayNotBeWrittenIsAnError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch_.path());
  save_before(checkpointer);
  const auto before = snapshot(scratch_.path());
  if (world_rank() == 0) ::chmod(scratch_.path().c_str(), 0555);
  MPI_Barrier(MPI_COMM_WORLD);
  const auto error =
      collective_error(ErrorKind::io, "open", [&] { checkpointer.save(model_.state(), {.tag = "failed"}); });
  EXPECT_THAT(error.what(), HasSubstr("ermission denied"));
  Model again(0);
  EXPECT_EQ(checkpointer.load({}, again.target()).contents.tag, "before");
  MPI_Barrier(MPI_COMM_WORLD);
  if (world_rank() == 0) ::chmod(scratch_.path().c_str(), 0755);
  EXPECT_EQ(snapshot(scratch_.path()), before);
  checkpointer.save(model_.state(), {.tag = "after"});
}

}  // namespace
}  // namespace muster::disk_fault_test
