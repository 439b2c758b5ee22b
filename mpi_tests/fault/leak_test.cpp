// Hundreds of saves and loads keep memory, open files, HDF5 objects and communicators as they were.

#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::leak_test {
namespace {

using test::Model;
using test::Scratch;

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::ptrdiff_t open_files() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

// Once what retired tags occupied is given back, in the background.
std::ptrdiff_t open_files_at_rest() {
  constexpr int kLooks = 20;
  auto fewest = open_files();
  for (int i = 0; i < kLooks; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    fewest = std::min(fewest, open_files());
  }
  return fewest;
}

ssize_t hdf5_objects() { return H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL); }

// MPI numbers communicators from the lowest number that is free, so a new one tells how many there are.
MPI_Fint communicators() {
  MPI_Comm probe = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &probe);
  const auto number = MPI_Comm_c2f(probe);
  MPI_Comm_free(&probe);
  return number;
}

TEST(Leak, TwoHundredSavesAndLoadsLeaveNothingBehind) {
  const Scratch scratch;
  Model model(1);
  Model again(0);
  Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path(), {.retention = {.newest = 2}});
  std::uint64_t resident = 0;
  std::ptrdiff_t files = 0;
  MPI_Fint comms = 0;
  constexpr int kWarmUp = 50;
  for (int i = 0; i < 250; ++i) {
    // Every tenth save needs a new plan, every third is refused.
    auto state = model.state();
    if (i % 10 == 0) state.add(Document{"/more", i});
    checkpointer.save(state, {.tag = "step_" + std::to_string(i), .user_content = {{"i", i}}});
    if (i % 3 == 0) {
      EXPECT_THROW(checkpointer.save(state, {.tag = "step_" + std::to_string(i)}), CollectiveError);
    }
    if (i % 5 == 0) checkpointer.save_async(state, {.tag = "async_" + std::to_string(i)});
    checkpointer.load({}, again.target());
    if (i == kWarmUp) {
      resident = resident_bytes();
      files = open_files_at_rest();
      comms = communicators();
    }
  }
  EXPECT_EQ(again, model);
  EXPECT_LT(resident_bytes(), resident + (2U << 20));
  EXPECT_EQ(open_files_at_rest(), files);
  EXPECT_EQ(communicators(), comms);
  EXPECT_EQ(hdf5_objects(), 0);
}

TEST(Leak, ThousandsOfCheckpointersLeaveNothingBehind) {
  const Scratch scratch;
  const auto comms = communicators();
  { const Checkpointer first(MPI_COMM_WORLD, scratch.path()); }
  const auto resident = resident_bytes();
  for (int i = 0; i < 1000; ++i) {
    const Checkpointer checkpointer(MPI_COMM_WORLD, scratch.path());
  }
  EXPECT_EQ(communicators(), comms);
  EXPECT_LT(resident_bytes(), resident + (2U << 20));
}

TEST(Leak, FreeFunctionsOnManyCommunicatorsLeaveNothingBehind) {
  const Scratch scratch;
  Model model(1);
  const auto comms = communicators();
  std::uint64_t resident = 0;
  for (int i = 0; i < 60; ++i) {
    MPI_Comm comm = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    save_checkpoint(comm, scratch.path(), model.state(), {.tag = "t", .replace_existing = true});
    if (i % 2 == 0) finalize_checkpoint(comm);
    MPI_Comm_free(&comm);
    if (i == 20) resident = resident_bytes();
  }
  EXPECT_EQ(communicators(), comms);
  EXPECT_LT(resident_bytes(), resident + (2U << 20));
  EXPECT_EQ(hdf5_objects(), 0);
}

}  // namespace
}  // namespace muster::leak_test
