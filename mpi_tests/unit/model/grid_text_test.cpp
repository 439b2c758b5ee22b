// Grids as command lines give them.

#include "model/grid_text.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <muster/error.hpp>
#include <string>
#include <utility>

#include "support/expect_error.hpp"

namespace muster::grid_text_test {
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

TEST(GridText, SaysWhatIsWrong) {
  for (const auto& [text, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"tp=2,pp", "'pp' is not an axis and its degree"},
           {"tp=2,xp=2", "'xp=2' is along none of tp, cp, ep, dp and pp"},
           {"tp=2,dp=0", "'dp=0' has no degree from 1 on"},
           {"tp=2,tp=3", "'tp=3' is one degree too many along that axis"}}) {
    test::expect_words(ErrorKind::usage, why, [&] { static_cast<void>(parse_grid(text)); });
  }
}

}  // namespace
}  // namespace muster::grid_text_test
