// Floating-point conversions against long double arithmetic that knows nothing of bits.

#include "model/convert.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "support/expect_error.hpp"
#include "support/sample.hpp"

namespace muster::convert_test {
namespace {

template <class To, class From>
To converted(DType from, From value, DType to) {
  To result{};
  convert(from, std::as_bytes(std::span(&value, 1)), to, std::as_writable_bytes(std::span(&result, 1)));
  return result;
}

struct Kind {
  DType dtype;
  int exponent_bits;
  int fraction_bits;
};
constexpr Kind kHalf{DType::float16, 5, 10};
constexpr Kind kBrain{DType::bfloat16, 8, 7};

// What the bits of a 16-bit kind stand for, finite ones alone.
double meaning(const Kind& kind, unsigned bits) {
  const auto fraction = bits & ((1U << kind.fraction_bits) - 1);
  const auto exponent = (bits >> kind.fraction_bits) & ((1U << kind.exponent_bits) - 1);
  const int bias = (1 << (kind.exponent_bits - 1)) - 1;
  const double size = exponent == 0 ? std::ldexp(fraction, 1 - bias - kind.fraction_bits)
                                    : std::ldexp((1U << kind.fraction_bits) + fraction,
                                                 static_cast<int>(exponent) - bias - kind.fraction_bits);
  return (bits & 0x8000U) != 0 ? -size : size;
}

unsigned infinity_of(const Kind& kind) { return ((1U << kind.exponent_bits) - 1) << kind.fraction_bits; }

class Convert : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Convert, testing::Values(kHalf, kBrain),
                         [](const auto& kind) { return std::string(name(kind.param.dtype)); });

TEST_P(Convert, WidensEveryValueExactlyAndBack) {
  const auto& kind = GetParam();
  for (unsigned bits = 0; bits < 0x10000U; ++bits) {
    const auto narrow = static_cast<std::uint16_t>(bits);
    const auto wide = converted<float>(kind.dtype, narrow, DType::float32);
    if ((bits & 0x7FFFU) > infinity_of(kind)) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      const auto back = converted<std::uint16_t>(DType::float32, wide, kind.dtype);
      ASSERT_GT(back & 0x7FFFU, infinity_of(kind)) << bits;
      continue;
    }
    if ((bits & 0x7FFFU) == infinity_of(kind)) {
      ASSERT_TRUE(std::isinf(wide)) << bits;
    } else {
      ASSERT_EQ(static_cast<double>(wide), meaning(kind, bits)) << bits;
    }
    ASSERT_EQ(std::signbit(wide), (bits & 0x8000U) != 0) << bits;
    ASSERT_EQ(converted<std::uint16_t>(DType::float32, wide, kind.dtype), narrow);
    ASSERT_EQ(converted<double>(kind.dtype, narrow, DType::float64), static_cast<double>(wide));
  }
}

// Between two neighbours: the nearer one, in the middle the even one; just beside the middle not.
TEST_P(Convert, RoundsToNearestAndTiesToEven) {
  const auto& kind = GetParam();
  for (unsigned bits = 0; bits + 1 < infinity_of(kind); ++bits) {
    const auto low = meaning(kind, bits);
    const auto high = meaning(kind, bits + 1);
    const auto middle = static_cast<float>((low + high) / 2);  // exact: one bit more
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2);
    const auto even = static_cast<std::uint16_t>(bits % 2 == 0 ? bits : bits + 1);
    const auto of = [&](float value) { return converted<std::uint16_t>(DType::float32, value, kind.dtype); };
    ASSERT_EQ(of(middle), even) << bits;
    ASSERT_EQ(of(-middle), even | 0x8000U) << bits;
    ASSERT_EQ(of(std::nextafter(middle, 0.0F)), bits) << bits;
    ASSERT_EQ(of(std::nextafter(middle, std::numeric_limits<float>::infinity())), bits + 1) << bits;
  }
  const auto largest = meaning(kind, infinity_of(kind) - 1);
  const auto step = largest - meaning(kind, infinity_of(kind) - 2);
  const auto limit = largest + step / 2;
  EXPECT_EQ(converted<std::uint16_t>(DType::float64, limit, kind.dtype), infinity_of(kind));
  EXPECT_EQ(converted<std::uint16_t>(DType::float32, std::nextafter(static_cast<float>(limit), 0.0F), kind.dtype),
            infinity_of(kind) - 1);
}

TEST(Convert, BetweenFloatsAndDoubles) {
  test::Random random(3);
  for (int i = 0; i < 100000; ++i) {
    const auto wide = std::bit_cast<double>(random());
    const auto single = converted<float>(DType::float64, wide, DType::float32);
    if (std::isnan(wide)) {
      ASSERT_TRUE(std::isnan(single));
    } else {
      ASSERT_EQ(single, static_cast<float>(wide));
      ASSERT_EQ(converted<double>(DType::float32, single, DType::float64), static_cast<double>(single));
    }
  }
}

TEST(Convert, KnowsWhatItCannotDo) {
  EXPECT_TRUE(is_convertible(DType::bfloat16, DType::float64));
  EXPECT_FALSE(is_convertible(DType::int32, DType::float32));
  EXPECT_FALSE(is_convertible(DType::float32, DType::complex64));
  std::vector<std::byte> bytes(8);
  test::expect_words(ErrorKind::internal, "no conversion to int64",
                     [&] { convert(DType::float64, bytes, DType::int64, bytes); });
  test::expect_words(ErrorKind::internal, "not as many",
                     [&] { convert(DType::float64, bytes, DType::float32, bytes); });
}

}  // namespace
}  // namespace muster::convert_test
