#pragma once
// Faults injected on one rank, in a directory in which saves work before and after.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <muster/checkpoint.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/failpoint.hpp"
#include "support/collective.hpp"
#include "support/files.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::test {

struct FaultPoint {
  const char* name;
  const char* phase;
};

struct FaultCase {
  FaultPoint point;
  int rank;

  // On that rank, until disarm_all().
  void arm() const {
    if (world_rank() == rank) failpoint::arm(point.name, "throw");
  }
  [[nodiscard]] std::string text() const { return std::string(point.name) + " on rank " + std::to_string(rank); }
};

// Those that every rank passes on each rank in turn, and those that rank 0 alone passes on it.
inline std::vector<FaultCase> fault_cases(std::span<const FaultPoint> of_every_rank,
                                          std::span<const FaultPoint> of_rank_0) {
  std::vector<FaultCase> cases;
  for (const auto& point : of_every_rank) {
    for (int rank = 0; rank < world_size(); ++rank) cases.push_back({point, rank});
  }
  for (const auto& point : of_rank_0) cases.push_back({point, 0});
  return cases;
}

class InjectedFault : public testing::Test {
 protected:
  ~InjectedFault() override { failpoint::disarm_all(); }

  // Runs the call, which must throw what this fault makes all ranks throw; `what` comes before its message.
  template <class Call>
  static void expect_thrown(const FaultCase& fault, Call&& call, const std::string& what = {}) {
    SCOPED_TRACE(fault.text());
    const auto error = collective_error(ErrorKind::io, fault.point.phase, call);
    failpoint::disarm_all();
    ASSERT_EQ(error.failures().size(), 1U) << error.what();
    EXPECT_EQ(error.failures()[0].rank, fault.rank);
    EXPECT_EQ(error.failures()[0].message, what + "fault injected at " + fault.point.name);
  }

  // The model must be what a load finds, under this tag.
  void expect_loads(const std::string& tag) {
    Model again(0);
    const auto report = checkpointer_.load({}, again.target());
    EXPECT_EQ(report.contents.tag, tag);
    EXPECT_THAT(report.warnings, testing::IsEmpty());
    EXPECT_EQ(again, model_);
  }

  Scratch scratch_;
  std::filesystem::path directory_ = scratch_.path() / "ckpts";
  Model model_{8};
  Checkpointer checkpointer_{MPI_COMM_WORLD, directory_};
};

}  // namespace muster::test
