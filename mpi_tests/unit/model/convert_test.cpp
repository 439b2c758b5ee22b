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

// Kinds of eight bits with a sign. `no_number`: the first code without its sign that is no finite number.
struct Kind8 {
  DType dtype;
  int fraction_bits;
  int bias;
  unsigned no_number;
  bool has_infinity;
  bool has_minus_zero;
  unsigned too_large;  // the code of what is larger than all numbers, infinity too
};
constexpr Kind8 kE5M2{DType::float8_e5m2, 2, 15, 0x7C, true, true, 0x7C};
constexpr Kind8 kE4M3fn{DType::float8_e4m3fn, 3, 7, 0x7F, false, true, 0x7E};
constexpr Kind8 kE5M2fnuz{DType::float8_e5m2fnuz, 2, 16, 0x80, false, false, 0x80};
constexpr Kind8 kE4M3fnuz{DType::float8_e4m3fnuz, 3, 8, 0x80, false, false, 0x80};

// What a code without its sign stands for, or would if the numbers went on.
double size_of(const Kind8& kind, unsigned code) {
  const auto fraction = code & ((1U << kind.fraction_bits) - 1);
  const auto exponent = static_cast<int>(code >> kind.fraction_bits);
  if (exponent == 0) return std::ldexp(fraction, 1 - kind.bias - kind.fraction_bits);
  return std::ldexp((1U << kind.fraction_bits) + fraction, exponent - kind.bias - kind.fraction_bits);
}

double value_of(const Kind8& kind, unsigned code) {
  const bool is_negative = (code & 0x80U) != 0;
  const auto rest = code & 0x7FU;
  if (is_negative && rest == 0 && !kind.has_minus_zero) return std::nan("");
  if (rest >= kind.no_number && !(kind.has_infinity && rest == kind.no_number)) return std::nan("");
  const auto size = rest == kind.no_number ? std::numeric_limits<double>::infinity() : size_of(kind, rest);
  return is_negative ? -size : size;
}

// The nearest of all numbers by looking at each; of two the one with the even code. What would be the next number
// stands for all that is too large.
unsigned nearest(const Kind8& kind, double value) {
  const auto sign = std::signbit(value) ? 0x80U : 0U;
  const auto nan = kind.has_minus_zero ? sign | 0x7FU : 0x80U;
  if (std::isnan(value)) return nan;
  const auto size = std::abs(value);
  unsigned best = 0;
  for (unsigned code = 1; code <= kind.no_number; ++code) {
    const auto before = std::abs(size - size_of(kind, best));
    const auto now = std::abs(size - size_of(kind, code));
    if (now < before || (now == before && code % 2 == 0)) best = code;
  }
  if (best == kind.no_number || std::isinf(size)) return kind.has_minus_zero ? sign | kind.too_large : kind.too_large;
  return best == 0 && !kind.has_minus_zero ? 0 : sign | best;
}

class ConvertFloat8 : public testing::TestWithParam<Kind8> {};
INSTANTIATE_TEST_SUITE_P(Kinds, ConvertFloat8, testing::Values(kE5M2, kE4M3fn, kE5M2fnuz, kE4M3fnuz),
                         [](const auto& kind) { return std::string(name(kind.param.dtype)); });

TEST_P(ConvertFloat8, WidensEveryCodeExactlyAndBack) {
  const auto& kind = GetParam();
  for (unsigned code = 0; code < 256; ++code) {
    const auto narrow = static_cast<std::uint8_t>(code);
    const auto expected = value_of(kind, code);
    const auto wide = converted<float>(kind.dtype, narrow, DType::float32);
    const auto back = converted<std::uint8_t>(DType::float32, wide, kind.dtype);
    const auto twice = converted<double>(kind.dtype, narrow, DType::float64);
    const auto half = converted<std::uint16_t>(kind.dtype, narrow, DType::float16);
    const auto brain = converted<std::uint16_t>(kind.dtype, narrow, DType::bfloat16);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide) && std::isnan(twice)) << code;
      ASSERT_TRUE(std::isnan(value_of(kind, back))) << code;
      ASSERT_GT(half & 0x7FFFU, infinity_of(kHalf)) << code;
      ASSERT_GT(brain & 0x7FFFU, infinity_of(kBrain)) << code;
      continue;
    }
    ASSERT_EQ(static_cast<double>(wide), expected) << code;
    ASSERT_EQ(std::signbit(wide), std::signbit(expected)) << code;
    ASSERT_EQ(twice, expected) << code;
    ASSERT_EQ(back, code);
    ASSERT_EQ(converted<std::uint8_t>(DType::float64, twice, kind.dtype), code);
    ASSERT_EQ(converted<std::uint8_t>(DType::float16, half, kind.dtype), code);
    ASSERT_EQ(converted<std::uint8_t>(DType::bfloat16, brain, kind.dtype), code);
    if (!std::isinf(expected)) {
      ASSERT_EQ(meaning(kHalf, half), expected) << code;
      ASSERT_EQ(meaning(kBrain, brain), expected) << code;
    }
  }
}

TEST_P(ConvertFloat8, RoundsEveryValueOf16BitsToTheNearest) {
  const auto& kind = GetParam();
  for (const auto& from : {kHalf, kBrain}) {
    for (unsigned bits = 0; bits < 0x10000U; ++bits) {
      const auto narrow = static_cast<std::uint16_t>(bits);
      const auto value = converted<float>(from.dtype, narrow, DType::float32);  // exact, as tested above
      ASSERT_EQ(converted<std::uint8_t>(from.dtype, narrow, kind.dtype), nearest(kind, value))
          << name(from.dtype) << " " << bits << ", " << value;
    }
  }
}

TEST_P(ConvertFloat8, RoundsBesideTheMiddleToTheNearer) {
  const auto& kind = GetParam();
  for (unsigned code = 0; code < kind.no_number; ++code) {
    const auto middle = static_cast<float>((size_of(kind, code) + size_of(kind, code + 1)) / 2);  // exact
    for (const auto value : {std::nextafter(middle, 0.0F), middle, std::nextafter(middle, 1e9F)}) {
      ASSERT_EQ(converted<std::uint8_t>(DType::float32, value, kind.dtype), nearest(kind, value)) << value;
      ASSERT_EQ(converted<std::uint8_t>(DType::float32, -value, kind.dtype), nearest(kind, -value)) << -value;
    }
  }
}

TEST(ConvertFloat8, KnowsTheLargestAndTheSmallest) {
  const auto of = [](DType dtype, unsigned code) {
    return converted<float>(dtype, static_cast<std::uint8_t>(code), DType::float32);
  };
  EXPECT_EQ(of(DType::float8_e5m2, 0x7B), 57344.0F);
  EXPECT_EQ(of(DType::float8_e5m2, 0x01), 0x1p-16F);
  EXPECT_EQ(of(DType::float8_e4m3fn, 0x7E), 448.0F);
  EXPECT_EQ(of(DType::float8_e4m3fn, 0x01), 0x1p-9F);
  EXPECT_EQ(of(DType::float8_e5m2fnuz, 0x7F), 57344.0F);
  EXPECT_EQ(of(DType::float8_e5m2fnuz, 0x81), -0x1p-17F);
  EXPECT_EQ(of(DType::float8_e4m3fnuz, 0x7F), 240.0F);
  EXPECT_EQ(of(DType::float8_e4m3fnuz, 0x81), -0x1p-10F);
  EXPECT_EQ(of(DType::float8_e8m0fnu, 0x7F), 1.0F);
}

// Of eight bits of exponent alone: the nearest power of two, of two the larger one, as it is for all that lies between
// the two smallest.
unsigned nearest_power(double value) {
  if (!std::isfinite(value)) return 255;
  const auto size = std::abs(value);
  if (size > 0x1p-127 && size < 0x1p-126) return 1;
  unsigned best = 0;
  for (unsigned code = 1; code < 256; ++code) {
    const auto now = std::abs(size - std::ldexp(1.0, static_cast<int>(code) - 127));
    if (now <= std::abs(size - std::ldexp(1.0, static_cast<int>(best) - 127))) best = code;
  }
  return best;
}

TEST(ConvertFloat8, ExponentsAlone) {
  constexpr auto kKind = DType::float8_e8m0fnu;
  for (unsigned code = 0; code < 256; ++code) {
    const auto narrow = static_cast<std::uint8_t>(code);
    const auto wide = converted<float>(kKind, narrow, DType::float32);
    const auto twice = converted<double>(kKind, narrow, DType::float64);
    const auto brain = converted<std::uint16_t>(kKind, narrow, DType::bfloat16);
    ASSERT_EQ(converted<std::uint8_t>(DType::float32, wide, kKind), code);
    ASSERT_EQ(converted<std::uint8_t>(DType::float32, -wide, kKind), code);
    ASSERT_EQ(converted<std::uint8_t>(DType::float64, twice, kKind), code);
    ASSERT_EQ(converted<std::uint8_t>(DType::bfloat16, brain, kKind), code);
    ASSERT_EQ(converted<std::uint16_t>(kKind, narrow, DType::float16),
              converted<std::uint16_t>(DType::float32, wide, DType::float16));
    if (code == 255) {
      ASSERT_TRUE(std::isnan(wide) && std::isnan(twice));
    } else {
      ASSERT_EQ(twice, std::ldexp(1.0, static_cast<int>(code) - 127));
      ASSERT_EQ(static_cast<double>(wide), twice);
    }
  }
  for (const auto& from : {kHalf, kBrain}) {
    for (unsigned bits = 0; bits < 0x10000U; ++bits) {
      const auto narrow = static_cast<std::uint16_t>(bits);
      const auto value = converted<float>(from.dtype, narrow, DType::float32);
      ASSERT_EQ(converted<std::uint8_t>(from.dtype, narrow, kKind), nearest_power(value))
          << name(from.dtype) << " " << bits << ", " << value;
    }
  }
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
  EXPECT_TRUE(is_convertible(DType::float8_e4m3fn, DType::float8_e8m0fnu));
  EXPECT_FALSE(is_convertible(DType::int32, DType::float32));
  EXPECT_FALSE(is_convertible(DType::uint16, DType::float8_e5m2));
  EXPECT_FALSE(is_convertible(DType::float32, DType::complex64));
  std::vector<std::byte> bytes(8);
  test::expect_words(ErrorKind::internal, "no conversion to int64",
                     [&] { convert(DType::float64, bytes, DType::int64, bytes); });
  test::expect_words(ErrorKind::internal, "not as many",
                     [&] { convert(DType::float64, bytes, DType::float32, bytes); });
}

}  // namespace
}  // namespace muster::convert_test
