// Which engine writes where.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/choice.hpp"
#include "mpi/library.hpp"
#include "support/expect_error.hpp"

namespace muster::engine::engine_choice_test {
namespace {

using testing::HasSubstr;

constexpr const char* kLibrary = "Open MPI v4.1.4";

TEST(EngineChoiceTest, IsWhatWasAskedFor) {
  for (const auto asked : {EngineChoice::direct, EngineChoice::collective}) {
    const auto choice = choose_engine(asked, "nfs", 7, kLibrary);
    EXPECT_EQ(choice.engine, asked);
    EXPECT_EQ(choice.reason, "asked for");
  }
}

TEST(EngineChoiceTest, IsDirectOnOneNodeWhateverTheFileSystem) {
  for (const char* file_system : {"ext4", "xfs", "nfs", "lustre", "fuse", "0x1234", "unknown"}) {
    const auto choice = choose_engine(EngineChoice::automatic, file_system, 1, kLibrary);
    EXPECT_EQ(choice.engine, EngineChoice::direct) << file_system;
    EXPECT_THAT(choice.reason, HasSubstr(file_system));
  }
}

TEST(EngineChoiceTest, IsDirectOnSeveralNodesWhereTheFileSystemKeepsThemCoherent) {
  for (const char* file_system : {"lustre", "gpfs", "ceph"}) {
    EXPECT_EQ(choose_engine(EngineChoice::automatic, file_system, 64, kLibrary).engine, EngineChoice::direct)
        << file_system;
  }
}

TEST(EngineChoiceTest, IsCollectiveOnSeveralNodesElsewhere) {
  for (const char* file_system : {"nfs", "beegfs", "cifs", "fuse", "9p", "0x1234", "unknown"}) {
    const auto choice = choose_engine(EngineChoice::automatic, file_system, 2, kLibrary);
    EXPECT_EQ(choice.engine, EngineChoice::collective) << file_system;
    EXPECT_THAT(choice.reason, HasSubstr("2 nodes"));
  }
}

// Open MPI 5.0.5 corrupts what parallel HDF5 writes.
TEST(EngineChoiceTest, IsNeverCollectiveWithAnMpiThatCorruptsFiles) {
  const std::string library = "Open MPI v5.0.5";
  const auto choice = choose_engine(EngineChoice::automatic, "nfs", 2, library);
  EXPECT_EQ(choice.engine, EngineChoice::direct);
  EXPECT_THAT(choice.reason, HasSubstr("Open MPI v5.0.5 corrupts"));
  EXPECT_EQ(choose_engine(EngineChoice::direct, "nfs", 2, library).engine, EngineChoice::direct);
  const auto message =
      test::error_of(ErrorKind::usage, [&] { choose_engine(EngineChoice::collective, "ext4", 1, library); });
  EXPECT_THAT(message, HasSubstr("Open MPI v5.0.5"));
  EXPECT_THAT(message, HasSubstr("use Open MPI 5.0.6 or later, or the engine direct"));
}

TEST(EngineChoiceTest, KnowsTheMpiThatCorruptsFiles) {
  for (const char* library : {"Open MPI v5.0.5", "Open MPI v5.0.5rc1", "Open MPI v5.0.5 (vendor)"}) {
    EXPECT_TRUE(mpi::corrupts_parallel_hdf5(library)) << library;
  }
  for (const char* library :
       {"Open MPI v5.0.4", "Open MPI v5.0.6", "Open MPI v5.0.50", "Open MPI v4.1.5", "MPICH Version:      5.0.5", ""}) {
    EXPECT_FALSE(mpi::corrupts_parallel_hdf5(library)) << library;
  }
}

TEST(EngineChoiceTest, HasNames) {
  for (const char* text : {"auto", "direct", "collective"}) EXPECT_EQ(name(engine_choice(text)), text);
  EXPECT_THAT(test::error_of(ErrorKind::usage, [] { engine_choice("fast"); }), HasSubstr("'fast'"));
}

}  // namespace
}  // namespace muster::engine::engine_choice_test
