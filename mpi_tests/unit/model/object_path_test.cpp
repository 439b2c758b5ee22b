// Keys of any bytes as HDF5 paths and back.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <muster/state.hpp>

#include "support/expect_error.hpp"
#include "support/sample.hpp"

namespace muster::object_path_test {
namespace {

using test::error_of;
using testing::ElementsAre;

TEST(ObjectPath, LeavesOrdinaryKeysAsTheyAre) {
  EXPECT_EQ(object_path({"model", "layers.0.fc.weight"}), "/model/layers.0.fc.weight");
  EXPECT_EQ(object_path({"model", ".."}), "/model/..");
  EXPECT_EQ(object_path({"a b\n\"\xff"}), "/a b\n\"\xff");
}

TEST(ObjectPath, EscapesWhatALinkNameCannotHold) {
  EXPECT_EQ(object_path({"a/b"}), "/a%2Fb");
  EXPECT_EQ(object_path({"100%"}), "/100%25");
  EXPECT_EQ(object_path({std::string_view("\0", 1)}), "/%00");
  EXPECT_EQ(object_path({"."}), "/%2E");
}

TEST(ObjectPath, BringsBackKeysOfArbitraryBytes) {
  test::Random random(11);
  const std::string likely = "./%02EF\0ab";
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::string> keys(3);
    for (auto& key : keys) {
      key.resize(test::pick(random, 1, 12));
      for (auto& c : key) {
        c = random() % 2 == 0 ? likely[random() % likely.size()] : static_cast<char>(random() % 256);
      }
    }
    const auto path = object_path({keys[0], keys[1], keys[2]});
    EXPECT_EQ(std::count(path.begin(), path.end(), '/'), 3);
    EXPECT_EQ(path.find('\0'), std::string::npos);
    EXPECT_EQ(object_keys(path), keys);
  }
}

TEST(ObjectPath, GivesDifferentPathsToDifferentKeys) {
  EXPECT_NE(object_path({"a/b"}), object_path({"a", "b"}));
  EXPECT_NE(object_path({"a%2Fb"}), object_path({"a/b"}));
  EXPECT_NE(object_path({"%2E"}), object_path({"."}));
}

TEST(ObjectPath, RefusesAnEmptyKey) {
  error_of(ErrorKind::usage, [] { object_path({"model", ""}); });
  error_of(ErrorKind::usage, [] { object_path({}); });
}

TEST(ObjectPath, RefusesAKeyTooLongForALink) {
  EXPECT_EQ(object_path({std::string(4000, 'k')}).size(), 4001U);
  error_of(ErrorKind::usage, [] { object_path({std::string(4001, 'k')}); });
  // What counts is the name in the file.
  error_of(ErrorKind::usage, [] { object_path({std::string(1400, '/')}); });
}

}  // namespace
}  // namespace muster::object_path_test
