#include "h5/datatype_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace muster::h5 {

namespace {

constexpr int kNamesShown = 4;

std::string freed(char* text) {
  if (text == nullptr) return "?";
  std::string copy = text;
  H5free_memory(text);
  return copy;
}

std::string bytes_text(hid_t type) {
  const auto bytes = H5Tget_size(type);
  return fmt::format("{} byte{}", bytes, bytes == 1 ? "" : "s");
}

std::string order_text(hid_t type) {
  return H5Tget_order(type) == H5T_ORDER_BE && H5Tget_size(type) > 1 ? "big-endian " : "";
}

std::string integer_text(hid_t type) {
  return fmt::format("{}{} integer of {} bits", order_text(type),
                     H5Tget_sign(type) == H5T_SGN_NONE ? "unsigned" : "signed", H5Tget_precision(type));
}

std::string float_text(hid_t type) {
  std::size_t sign = 0;
  std::size_t exponent = 0;
  std::size_t exponent_bits = 0;
  std::size_t mantissa = 0;
  std::size_t mantissa_bits = 0;
  check(H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits), "H5Tget_fields");
  return fmt::format("{}float of {} bits ({} of exponent with bias {}, {} of mantissa)", order_text(type),
                     H5Tget_precision(type), exponent_bits, H5Tget_ebias(type), mantissa_bits);
}

// Of a compound the members, of an enum the names.
std::string members_text(hid_t type) {
  const int members = H5Tget_nmembers(type);
  std::string text;
  for (int i = 0; i < members && i < kNamesShown; ++i) {
    text += (i == 0 ? "" : ", ") + freed(H5Tget_member_name(type, static_cast<unsigned>(i)));
  }
  return members > kNamesShown ? text + ", ..." : text;
}

std::string base_text(hid_t type) {
  const Datatype base(H5Tget_super(type), "H5Tget_super");
  return to_text(base.get());
}

std::string array_text(hid_t type) {
  std::vector<hsize_t> dims(static_cast<std::size_t>(std::max(0, H5Tget_array_ndims(type))));
  if (!dims.empty()) check(H5Tget_array_dims2(type, dims.data()), "H5Tget_array_dims2");
  return fmt::format("array of {} of {}", fmt::join(dims, " x "), base_text(type));
}

}  // namespace

std::string to_text(hid_t type) {
  const auto type_class = H5Tget_class(type);
  switch (type_class) {
    case H5T_INTEGER:
      return integer_text(type);
    case H5T_FLOAT:
      return float_text(type);
    case H5T_STRING:
      return H5Tis_variable_str(type) > 0 ? "string of variable length" : "string of " + bytes_text(type);
    case H5T_BITFIELD:
      return "bit field of " + bytes_text(type);
    case H5T_OPAQUE:
      return fmt::format("opaque of {}, tagged '{}'", bytes_text(type), freed(H5Tget_tag(type)));
    case H5T_COMPOUND:
      return fmt::format("compound of {} with the members {}", bytes_text(type), members_text(type));
    case H5T_REFERENCE:
      return "reference";
    case H5T_ENUM:
      return fmt::format("enum over {} with the names {}", base_text(type), members_text(type));
    case H5T_VLEN:
      return "sequence of variable length of " + base_text(type);
    case H5T_ARRAY:
      return array_text(type);
    default:
      return fmt::format("of HDF5's class {}, of {}", static_cast<int>(type_class), bytes_text(type));
  }
}

}  // namespace muster::h5
