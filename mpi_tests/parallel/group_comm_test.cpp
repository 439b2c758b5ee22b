// Communicators of a grid's groups.

#include <gtest/gtest.h>
#include <mpi.h>

#include <initializer_list>
#include <muster/group_comm.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/collective.hpp"
#include "support/scratch.hpp"

namespace muster::group_comm_test {
namespace {

using test::collective_error;
using test::world_rank;
using test::world_size;

std::vector<int> members(const GroupComm& group) {
  std::vector<int> ranks(static_cast<std::size_t>(group.size()));
  const int rank = world_rank();
  MPI_Allgather(&rank, 1, MPI_INT, ranks.data(), 1, MPI_INT, group.handle());
  return ranks;
}

TEST(GroupComm, HasTheRanksOfTheGroupInOrder) {
  const int tensor = world_size() % 2 == 0 ? 2 : 1;
  for (const char* order : {"tp-dp-pp", "dp-pp-tp"}) {
    const ParallelGrid grid({.tensor = tensor, .order = order}, world_size());
    const std::initializer_list<Axis> kinds[] = {
        {}, {Axis::tensor}, {Axis::data}, {Axis::pipeline}, {Axis::tensor, Axis::data}};
    for (const auto& axes : kinds) {
      const GroupComm group(MPI_COMM_WORLD, grid, axes);
      const auto expected = grid.group(world_rank(), axes);
      EXPECT_EQ(members(group), expected) << order;
      EXPECT_EQ(group.size(), static_cast<int>(expected.size()));
      EXPECT_EQ(expected.at(static_cast<std::size_t>(group.rank())), world_rank());
    }
  }
}

TEST(GroupComm, Moves) {
  const ParallelGrid grid({}, world_size());
  GroupComm first(MPI_COMM_WORLD, grid, {Axis::data});
  GroupComm second(MPI_COMM_WORLD, grid, {});
  second = std::move(first);
  EXPECT_EQ(members(second).size(), static_cast<std::size_t>(world_size()));
}

TEST(GroupComm, OfAnotherNumberOfRanksIsAnErrorOnAll) {
  const ParallelGrid grid({}, world_size() + 1);
  const auto error =
      collective_error(ErrorKind::usage, "group", [&] { GroupComm(MPI_COMM_WORLD, grid, {Axis::data}); });
  EXPECT_NE(std::string(error.what()).find("dp=" + std::to_string(world_size() + 1)), std::string::npos);
}

TEST(GroupComm, OfRanksThatDisagreeIsAnErrorOnAll) {
  if (world_size() == 1) GTEST_SKIP() << "nobody to disagree with";
  const ParallelGrid grid({}, world_size());
  const std::initializer_list<Axis> data = {Axis::data};
  const std::initializer_list<Axis> tensor = {Axis::tensor};
  collective_error(ErrorKind::mismatch, "group",
                   [&] { GroupComm(MPI_COMM_WORLD, grid, world_rank() == 1 ? tensor : data); });
}

}  // namespace
}  // namespace muster::group_comm_test
