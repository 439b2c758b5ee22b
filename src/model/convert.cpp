#include "model/convert.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <muster/error.hpp>
#include <string>

namespace muster {

namespace {

// Each kind: its bits in a file, and the way to and from what it computes with.
struct Float64 {
  using Bits = std::uint64_t;
  static double value(Bits bits) { return std::bit_cast<double>(bits); }
  template <class Value>
  static Bits bits(Value value) {
    return std::bit_cast<Bits>(static_cast<double>(value));
  }
};

struct Float32 {
  using Bits = std::uint32_t;
  static float value(Bits bits) { return std::bit_cast<float>(bits); }
  template <class Value>
  static Bits bits(Value value) {
    return std::bit_cast<Bits>(static_cast<float>(value));
  }
};

// The upper half of a float32.
struct BFloat16 {
  using Bits = std::uint16_t;
  static float value(Bits bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U); }
  template <class Value>
  static Bits bits(Value value) {
    const auto single = static_cast<float>(value);
    if (std::isnan(single)) return 0x7FC0;
    const auto all = std::bit_cast<std::uint32_t>(single);
    return static_cast<Bits>((all + 0x7FFFU + ((all >> 16U) & 1U)) >> 16U);
  }
};

// IEEE 754 binary16: 5 bits of exponent with a bias of 15, 10 of fraction.
struct Float16 {
  using Bits = std::uint16_t;
  static float value(Bits bits) {
    const auto sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
    const auto exponent = static_cast<std::uint32_t>(bits & 0x7C00U);
    const auto fraction = static_cast<std::uint32_t>(bits & 0x03FFU);
    if (exponent == 0) {
      // Not through a float32 of that kind: the program may have told the processor to take those for 0.
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24F));
    }
    if (exponent == 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | (fraction << 13U));
    return std::bit_cast<float>(sign | (((exponent | fraction) << 13U) + (112U << 23U)));
  }
  template <class Value>
  static Bits bits(Value value) {
    const auto all = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    const auto sign = static_cast<std::uint32_t>((all >> 16U) & 0x8000U);
    const auto size = all & 0x7FFFFFFFU;
    constexpr std::uint32_t kTooLarge = 0x477FF000U;  // 65520: what is rounded to 65536
    constexpr std::uint32_t kNormal = 0x38800000U;    // 2^-14
    std::uint32_t rest = 0;
    if (size > 0x7F800000U) {
      rest = 0x7E00U;
    } else if (size >= kTooLarge) {
      rest = 0x7C00U;
    } else if (size >= kNormal) {
      const auto rebiased = size - (112U << 23U);
      rest = (rebiased + 0xFFFU + ((rebiased >> 13U) & 1U)) >> 13U;
    } else {
      // Added to 0.5, whose last bit is 2^-24 as that of the smallest numbers here, the processor rounds it.
      const auto sum = std::bit_cast<float>(size) + 0.5F;
      rest = std::bit_cast<std::uint32_t>(sum) - std::bit_cast<std::uint32_t>(0.5F);
    }
    return static_cast<Bits>(sign | rest);
  }
};

// Which codes of eight bits are no finite numbers.
enum class Specials {
  ieee,          // the largest exponent: infinities and NaNs
  one_nan,       // the largest code of either sign: NaN
  no_minus_zero  // the code of negative zero: NaN
};

// Eight bits: a sign, then exponent and fraction. What is too large, infinity too, becomes what LibTorch makes of it:
// with one NaN a sign the largest number (as it does since 2.12; before that NaN).
template <unsigned kFractionBits, std::uint32_t kBias, Specials kSpecials>
struct Float8 {
  using Bits = std::uint8_t;
  static constexpr std::uint32_t kSign = 0x80U;
  static constexpr std::uint32_t kLargest = 0x7FU;
  // From here on a code without its sign is no number.
  static constexpr std::uint32_t kNoNumber = kSpecials == Specials::ieee ? kLargest >> kFractionBits << kFractionBits
                                             : kSpecials == Specials::one_nan ? kLargest
                                                                              : kLargest + 1;
  static constexpr std::uint32_t kTooLarge = kSpecials == Specials::ieee ? kNoNumber : kNoNumber - 1U;
  static constexpr unsigned kShift = 23U - kFractionBits;  // to where a float32 has its fraction
  static constexpr std::uint32_t kRebias = (127U - kBias) << 23U;
  static constexpr std::uint32_t kNormal = kRebias + (1U << 23U);  // the smallest number with an exponent, as float32
  static constexpr std::uint32_t kStep = kNormal - (kFractionBits << 23U);  // the smallest number

  static float value(Bits bits) {
    const auto sign = (bits & kSign) << 24U;
    const auto rest = bits & kLargest;
    if (kSpecials == Specials::no_minus_zero && bits == kSign) return std::bit_cast<float>(0x7FC00000U);
    if (rest >= kNoNumber) return std::bit_cast<float>(sign | 0x7F800000U | (rest << kShift & 0x007FFFFFU));
    if (rest >> kFractionBits == 0) {
      const auto size = static_cast<float>(rest) * std::bit_cast<float>(kStep);
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(size));
    }
    return std::bit_cast<float>(sign | ((rest << kShift) + kRebias));
  }

  template <class Value>
  static Bits bits(Value value) {
    const auto all = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    const auto sign = all >> 24U & kSign;
    const auto size = all & 0x7FFFFFFFU;
    const auto nan = static_cast<Bits>(kSpecials == Specials::no_minus_zero ? kSign : sign | kLargest);
    if (size > 0x7F800000U) return nan;
    const auto rest = rounded(size);
    if (rest >= kNoNumber) return kSpecials == Specials::no_minus_zero ? nan : static_cast<Bits>(sign | kTooLarge);
    if (kSpecials == Specials::no_minus_zero && rest == 0) return 0;
    return static_cast<Bits>(sign | rest);
  }

  // The code without sign, as if exponents had no end.
  static std::uint32_t rounded(std::uint32_t size) {
    if (size >= kNormal) {
      const auto is_odd = size >> kShift & 1U;
      return (size - kRebias + (1U << (kShift - 1U)) - 1U + is_odd) >> kShift;
    }
    // As for float16: added to a number whose last bit is the smallest number here, the processor rounds it.
    constexpr auto kAdded = kStep + (23U << 23U);
    return std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + std::bit_cast<float>(kAdded)) - kAdded;
  }
};

// The exponent of a float32 and nothing else; 255 is NaN. A sign is dropped, zero becomes 2^-127. Ties go up, and so
// does all between the two smallest numbers: what LibTorch does, too.
struct Float8Exponent {
  using Bits = std::uint8_t;
  static constexpr std::uint32_t kNan = 0xFFU;
  static float value(Bits bits) {
    if (bits == kNan) return std::bit_cast<float>(0x7FC00000U);
    return std::bit_cast<float>(bits == 0 ? 0x00400000U : static_cast<std::uint32_t>(bits) << 23U);
  }
  template <class Value>
  static Bits bits(Value value) {
    const auto size = std::bit_cast<std::uint32_t>(static_cast<float>(value)) & 0x7FFFFFFFU;
    const auto exponent = size >> 23U;
    if (exponent == kNan) return kNan;
    const auto is_up = exponent == 0 ? size > 0x00400000U : (size & 0x00400000U) != 0;
    return static_cast<Bits>(exponent + (is_up ? 1U : 0U));
  }
};

template <class From, class To>
void convert_all(std::span<const std::byte> values, std::span<std::byte> converted) {
  const auto count = values.size() / sizeof(typename From::Bits);
  for (std::size_t i = 0; i < count; ++i) {
    typename From::Bits from{};
    std::memcpy(&from, values.data() + i * sizeof(from), sizeof(from));
    const auto to = To::bits(From::value(from));
    std::memcpy(converted.data() + i * sizeof(to), &to, sizeof(to));
  }
}

template <class Use>
bool with_float(DType dtype, Use&& use) {
  switch (dtype) {
    case DType::float64:
      use(Float64{});
      return true;
    case DType::float32:
      use(Float32{});
      return true;
    case DType::float16:
      use(Float16{});
      return true;
    case DType::bfloat16:
      use(BFloat16{});
      return true;
    case DType::float8_e5m2:
      use(Float8<2, 15, Specials::ieee>{});
      return true;
    case DType::float8_e4m3fn:
      use(Float8<3, 7, Specials::one_nan>{});
      return true;
    case DType::float8_e5m2fnuz:
      use(Float8<2, 16, Specials::no_minus_zero>{});
      return true;
    case DType::float8_e4m3fnuz:
      use(Float8<3, 8, Specials::no_minus_zero>{});
      return true;
    case DType::float8_e8m0fnu:
      use(Float8Exponent{});
      return true;
    default:
      return false;
  }
}

}  // namespace

bool is_convertible(DType from, DType to) {
  const auto nothing = [](auto) {};
  return with_float(from, nothing) && with_float(to, nothing);
}

void convert(DType from, std::span<const std::byte> values, DType to, std::span<std::byte> converted) {
  if (values.size() % item_bytes(from) != 0 || values.size() / item_bytes(from) * item_bytes(to) != converted.size()) {
    throw Error(ErrorKind::internal, "values to convert and room for them are not as many");
  }
  const bool known = with_float(from, [&]<class From>(From) {
    const bool to_known = with_float(to, [&]<class To>(To) { convert_all<From, To>(values, converted); });
    if (!to_known) throw Error(ErrorKind::internal, "no conversion to " + std::string(name(to)));
  });
  if (!known) throw Error(ErrorKind::internal, "no conversion from " + std::string(name(from)));
}

}  // namespace muster
