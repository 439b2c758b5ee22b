// The HDF5 datatypes of tensors, and what messages call others.

#include "h5/datatype.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "h5/datatype_text.hpp"
#include "model/dtypes.hpp"
#include "support/expect_error.hpp"

namespace muster {
namespace {

using h5::Datatype;

TEST(AllDTypes, LeavesNoneOut) {
  EXPECT_EQ(static_cast<std::size_t>(DType::text), kAllDTypes.size());
  const auto behind = static_cast<DType>(kAllDTypes.size() + 1);
  test::expect_words(ErrorKind::internal, "unknown dtype", [&] { static_cast<void>(name(behind)); });
  test::expect_words(ErrorKind::internal, "unknown dtype", [&] { static_cast<void>(item_bytes(behind)); });
  test::expect_words(ErrorKind::internal, "unknown dtype", [&] { h5::tensor_type(behind); });
}

// Plans of several ranks, and fingerprints, hold the numbers.
TEST(AllDTypes, KeepTheirNumbers) {
  EXPECT_EQ(static_cast<int>(DType::float64), 0);
  EXPECT_EQ(static_cast<int>(DType::complex128), 11);
  EXPECT_EQ(static_cast<int>(DType::uint16), 12);
  EXPECT_EQ(static_cast<int>(DType::float8_e8m0fnu), 19);
  EXPECT_EQ(static_cast<int>(DType::text), 20);
}

TEST(TensorType, IsTheDtypeAgainAndNoOther) {
  for (const auto dtype : kAllDTypes) {
    const auto type = h5::tensor_type(dtype);
    EXPECT_EQ(H5Tget_size(type.get()), item_bytes(dtype)) << name(dtype);
    EXPECT_EQ(h5::dtype_of(type.get()), dtype) << name(dtype);
    for (const auto other : kAllDTypes) {
      EXPECT_EQ(H5Tequal(type.get(), h5::tensor_type(other).get()) > 0, dtype == other) << name(dtype) << name(other);
    }
  }
}

Datatype copy_of(hid_t type) { return {H5Tcopy(type), "H5Tcopy"}; }

Datatype integer_of_24_bits() {
  auto type = copy_of(H5T_STD_U32LE);
  H5Tset_precision(type.get(), 24);
  H5Tset_size(type.get(), 3);
  return type;
}

Datatype enum_of(hid_t base, const std::vector<const char*>& names) {
  Datatype type(H5Tenum_create(base), "H5Tenum_create");
  std::int8_t value = 0;
  for (const auto* name : names) {
    H5Tenum_insert(type.get(), name, &value);
    ++value;
  }
  return type;
}

Datatype opaque() {
  Datatype type(H5Tcreate(H5T_OPAQUE, 1), "H5Tcreate");
  H5Tset_tag(type.get(), "float4");
  return type;
}

Datatype compound() {
  Datatype type(H5Tcreate(H5T_COMPOUND, 8), "H5Tcreate");
  H5Tinsert(type.get(), "real", 0, H5T_IEEE_F32LE);
  H5Tinsert(type.get(), "imaginary", 4, H5T_IEEE_F32LE);
  return type;
}

Datatype text_of(std::size_t size) {
  auto type = copy_of(H5T_C_S1);
  H5Tset_size(type.get(), size);
  return type;
}

Datatype array() {
  const std::array<hsize_t, 2> dims{2, 3};
  return {H5Tarray_create2(H5T_STD_I16BE, 2, dims.data()), "H5Tarray_create2"};
}

TEST(ToText, SaysWhatAForeignDatatypeIs) {
  const std::vector<std::pair<Datatype, std::string>> types = [] {
    std::vector<std::pair<Datatype, std::string>> list;
    list.emplace_back(integer_of_24_bits(), "unsigned integer of 24 bits");
    list.emplace_back(copy_of(H5T_STD_I32BE), "big-endian signed integer of 32 bits");
    list.emplace_back(copy_of(H5T_IEEE_F64BE),
                      "big-endian float of 64 bits (11 of exponent with bias 1023, 52 of mantissa)");
    list.emplace_back(copy_of(H5T_STD_B8LE), "bit field of 1 byte");
    list.emplace_back(copy_of(H5T_STD_REF_OBJ), "reference");
    list.emplace_back(opaque(), "opaque of 1 byte, tagged 'float4'");
    list.emplace_back(compound(), "compound of 8 bytes with the members real, imaginary");
    list.emplace_back(enum_of(H5T_STD_I8LE, {"no", "yes"}),
                      "enum over signed integer of 8 bits with the names no, yes");
    list.emplace_back(enum_of(H5T_STD_I8LE, {"a", "b", "c", "d", "e"}),
                      "enum over signed integer of 8 bits with the names a, b, c, d, ...");
    list.emplace_back(text_of(7), "string of 7 bytes");
    list.emplace_back(text_of(H5T_VARIABLE), "string of variable length");
    list.emplace_back(Datatype(H5Tvlen_create(H5T_IEEE_F32LE), "H5Tvlen_create"),
                      "sequence of variable length of float of 32 bits (8 of exponent with bias 127, 23 of mantissa)");
    list.emplace_back(array(), "array of 2 x 3 of big-endian signed integer of 16 bits");
    return list;
  }();
  for (const auto& [type, text] : types) {
    EXPECT_EQ(h5::to_text(type.get()), text);
    EXPECT_EQ(h5::dtype_of(type.get()), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace muster
