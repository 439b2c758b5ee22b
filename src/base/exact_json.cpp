#include "base/exact_json.hpp"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <muster/error.hpp>

namespace muster {

namespace {

using nlohmann::json;

constexpr std::uint64_t kQuietNan = 0x7ff8000000000000;

std::string double_text(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const auto bits = std::bit_cast<std::uint64_t>(value);
  return bits == kQuietNan ? "nan" : fmt::format("{:016x}", bits);
}

template <class Integer>
Integer parse_hex(std::string_view text) {
  Integer value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
  if (error != std::errc() || stop != end) throw std::runtime_error("not hexadecimal: " + std::string(text));
  return value;
}

double parse_double(const std::string& text) {
  if (text == "nan") return std::bit_cast<double>(kQuietNan);
  if (text == "inf") return HUGE_VAL;
  if (text == "-inf") return -HUGE_VAL;
  return std::bit_cast<double>(parse_hex<std::uint64_t>(text));
}

json encode(const json& value) {
  switch (value.type()) {
    case json::value_t::number_float: {
      const auto number = value.get<double>();
      if (std::isfinite(number)) return value;
      return json::object({{"$double", double_text(number)}});
    }
    case json::value_t::binary: {
      const auto& binary = value.get_binary();
      std::string hex;
      for (const auto byte : binary) hex += fmt::format("{:02x}", byte);
      const json subtype = binary.has_subtype() ? json(binary.subtype()) : json(nullptr);
      return json::object({{"$binary", hex}, {"$subtype", subtype}});
    }
    case json::value_t::array: {
      json array = json::array();
      for (const auto& item : value) array.push_back(encode(item));
      return array;
    }
    case json::value_t::object: {
      json object = json::object();
      for (const auto& [key, item] : value.items()) object[key.starts_with('$') ? "$" + key : key] = encode(item);
      return object;
    }
    case json::value_t::discarded:
      throw std::runtime_error("a discarded JSON value");
    default:
      return value;
  }
}

json decode(const json& value) {
  if (value.is_array()) {
    json array = json::array();
    for (const auto& item : value) array.push_back(decode(item));
    return array;
  }
  if (!value.is_object()) return value;
  if (value.contains("$double")) return parse_double(value.at("$double").get<std::string>());
  if (value.contains("$binary")) {
    const auto hex = value.at("$binary").get<std::string>();
    if (hex.size() % 2 != 0) throw std::runtime_error("odd number of hexadecimal digits");
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < hex.size(); i += 2) bytes.push_back(parse_hex<std::uint8_t>({hex.data() + i, 2}));
    const auto& subtype = value.at("$subtype");
    return subtype.is_null() ? json::binary(bytes) : json::binary(bytes, subtype.get<std::uint64_t>());
  }
  json object = json::object();
  for (const auto& [key, item] : value.items()) object[key.starts_with("$$") ? key.substr(1) : key] = decode(item);
  return object;
}

}  // namespace

std::string to_exact_text(const json& value, std::string_view what) {
  try {
    return encode(value).dump();
  } catch (const std::exception& error) {
    throw Error(ErrorKind::usage, fmt::format("{} cannot be written as JSON: {}", what, error.what()));
  }
}

json from_exact_text(std::string_view text, std::string_view what) {
  try {
    return decode(json::parse(text));
  } catch (const std::exception& error) {
    throw Error(ErrorKind::corrupt, fmt::format("{} is not the JSON that muster writes: {}", what, error.what()));
  }
}

}  // namespace muster
