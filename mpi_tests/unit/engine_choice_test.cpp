// Which engine writes where.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/choice.hpp"
#include "support/expect_error.hpp"

namespace muster::engine::engine_choice_test {
namespace {

using testing::HasSubstr;

TEST(EngineChoiceTest, IsWhatWasAskedFor) {
  for (const auto asked : {EngineChoice::direct, EngineChoice::collective}) {
    const auto choice = choose_engine(asked, "nfs", 7);
    EXPECT_EQ(choice.engine, asked);
    EXPECT_EQ(choice.reason, "asked for");
  }
}

TEST(EngineChoiceTest, IsDirectOnOneNodeWhateverTheFileSystem) {
  for (const char* file_system : {"ext4", "xfs", "nfs", "lustre", "fuse", "0x1234", "unknown"}) {
    const auto choice = choose_engine(EngineChoice::automatic, file_system, 1);
    EXPECT_EQ(choice.engine, EngineChoice::direct) << file_system;
    EXPECT_THAT(choice.reason, HasSubstr(file_system));
  }
}

TEST(EngineChoiceTest, IsDirectOnSeveralNodesWhereTheFileSystemKeepsThemCoherent) {
  for (const char* file_system : {"lustre", "gpfs", "ceph"}) {
    EXPECT_EQ(choose_engine(EngineChoice::automatic, file_system, 64).engine, EngineChoice::direct) << file_system;
  }
}

TEST(EngineChoiceTest, IsCollectiveOnSeveralNodesElsewhere) {
  for (const char* file_system : {"nfs", "beegfs", "cifs", "fuse", "9p", "0x1234", "unknown"}) {
    const auto choice = choose_engine(EngineChoice::automatic, file_system, 2);
    EXPECT_EQ(choice.engine, EngineChoice::collective) << file_system;
    EXPECT_THAT(choice.reason, HasSubstr("2 nodes"));
  }
}

TEST(EngineChoiceTest, HasNames) {
  for (const char* text : {"auto", "direct", "collective"}) EXPECT_EQ(name(engine_choice(text)), text);
  EXPECT_THAT(test::error_of(ErrorKind::usage, [] { engine_choice("fast"); }), HasSubstr("'fast'"));
}

}  // namespace
}  // namespace muster::engine::engine_choice_test
