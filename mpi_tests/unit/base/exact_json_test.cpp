// JSON values survive their text exactly.

#include "base/exact_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>

#include "support/expect_error.hpp"
#include "support/sample.hpp"

namespace muster::exact_json_test {
namespace {

using nlohmann::json;
using test::error_of;

json again(const json& value) { return from_exact_text(to_exact_text(value, "/doc"), "/doc"); }

std::uint64_t bits(const json& value) { return std::bit_cast<std::uint64_t>(value.get<double>()); }

void expect_exact(double value) {
  const auto back = again(json(value));
  ASSERT_TRUE(back.is_number_float()) << to_exact_text(json(value), "/doc");
  EXPECT_EQ(bits(back), std::bit_cast<std::uint64_t>(value)) << to_exact_text(json(value), "/doc");
}

TEST(ExactJson, KeepsTheBitsOfEveryDouble) {
  for (const double value : {0.0, -0.0, 1.0, 1.0 / 3, 0.1, -2.5e-310, 5e-324, std::numeric_limits<double>::max(),
                             std::numeric_limits<double>::min(), 9007199254740993.0, 1e22, 1e23}) {
    expect_exact(value);
    expect_exact(-value);
  }
  test::Random random(7);
  for (int i = 0; i < 200000; ++i) expect_exact(std::bit_cast<double>(random()));
}

TEST(ExactJson, KeepsNanInfinitiesAndTheBitsOfANan) {
  const auto infinity = std::numeric_limits<double>::infinity();
  expect_exact(infinity);
  expect_exact(-infinity);
  for (const std::uint64_t nan : {0x7ff8000000000000U, 0xfff8000000000000U, 0x7ff8000000000123U, 0xffffffffffffffffU}) {
    expect_exact(std::bit_cast<double>(nan));
  }
}

TEST(ExactJson, KeepsEveryDigitOfAnInteger) {
  const auto largest = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(again(largest).get<std::int64_t>(), largest);
  EXPECT_EQ(again(largest - 1).get<std::int64_t>(), largest - 1);
  const auto smallest = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(again(smallest).get<std::int64_t>(), smallest);
  const auto unsigned_largest = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(again(unsigned_largest).get<std::uint64_t>(), unsigned_largest);
  EXPECT_TRUE(again(7).is_number_integer());
  EXPECT_TRUE(again(7.0).is_number_float());
}

TEST(ExactJson, KeepsBinaryValuesWithTheirSubtype) {
  const json plain = json::binary({0x00, 0xff, 0x7f, 0x80});
  EXPECT_EQ(again(plain), plain);
  EXPECT_FALSE(again(plain).get_binary().has_subtype());
  const json typed = json::binary({1, 2, 3}, 42);
  EXPECT_EQ(again(typed), typed);
  EXPECT_EQ(again(typed).get_binary().subtype(), 42U);
  const json empty = json::binary({});
  EXPECT_EQ(again(empty), empty);
}

TEST(ExactJson, KeepsKeysThatLookLikeItsOwn) {
  const json value = {
      {"$double", "nan"}, {"$binary", "00"}, {"$$double", json::array({1, {{"$subtype", nullptr}}})},
      {"$", 1},           {"", 2},           {"a$", {{"$double", std::numeric_limits<double>::infinity()}}}};
  EXPECT_EQ(again(value), value);
  const json lone = {{"$double", "7ff0000000000000"}};
  EXPECT_EQ(again(lone), lone);
}

TEST(ExactJson, KeepsStringsOfAnyUtf8) {
  const json value = {"", std::string("a\0b", 3), "\"\\\n\t\x7f", "\u00e9\u4e2d\U0001f600", "\u2028"};
  EXPECT_EQ(again(value), value);
}

TEST(ExactJson, KeepsNestedContainersAndNull) {
  const json value = {{"a", json::array()}, {"b", json::object()}, {"c", {nullptr, true, {{"d", {1, {2, {3}}}}}}}};
  EXPECT_EQ(again(value), value);
  EXPECT_TRUE(again(nullptr).is_null());
}

TEST(ExactJson, TextHoldsNoZeroByte) {
  EXPECT_EQ(to_exact_text(json(std::string("\0", 1)), "/doc").find('\0'), std::string::npos);
}

TEST(ExactJson, RefusesStringsThatAreNotUtf8) {
  for (const json& value : {json("\xff"), json({{"\xc3", 1}}), json({1, {{"a", "\xed\xa0\x80"}}})}) {
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { to_exact_text(value, "/user_content"); }),
                testing::HasSubstr("/user_content"));
  }
}

TEST(ExactJson, RefusesADiscardedValue) {
  error_of(ErrorKind::usage, [] { to_exact_text(json(json::value_t::discarded), "/doc"); });
}

TEST(ExactJson, CallsForeignTextCorrupt) {
  for (const char* text :
       {"", "{", "1 2", "nan", R"({"$double": 3})", R"({"$double": "xyz"})", R"({"$double": "7ff00000000000000"})",
        R"({"$binary": "abc", "$subtype": null})", R"({"$binary": "zz", "$subtype": null})", R"({"$binary": "00"})",
        R"({"$binary": "00", "$subtype": "x"})"}) {
    EXPECT_THAT(error_of(ErrorKind::corrupt, [&] { from_exact_text(text, "/scheduler"); }),
                testing::HasSubstr("/scheduler"))
        << text;
  }
}

}  // namespace
}  // namespace muster::exact_json_test
