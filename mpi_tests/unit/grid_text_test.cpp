// Grids as command lines give them.

#include "model/grid_text.hpp"

#include <gtest/gtest.h>

#include <muster/error.hpp>
#include <string>

namespace muster {
namespace {

TEST(GridText, TakesAxesInAnyOrder) {
  EXPECT_EQ(parse_grid(""), Grid{});
  EXPECT_EQ(parse_grid("tp=2,pp=4,dp=8"), (Grid{.tensor = 2, .pipeline = 4, .data = 8}));
  EXPECT_EQ(parse_grid("cp=3,ep=16"), (Grid{.expert = 16, .context = 3}));
}

TEST(GridText, RefusesEverythingElse) {
  for (const std::string text : {"tp", "tp=", "tp=0", "tp=-1", "tp=2x", "xp=2", "tp=2;pp=2", "tp=2,,pp=2", " tp=2",
                                 "tp=99999999999", "tp=2,tp=3"}) {
    EXPECT_THROW(parse_grid(text), Error) << text;
  }
}

}  // namespace
}  // namespace muster
