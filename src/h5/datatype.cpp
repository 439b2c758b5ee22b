#include "h5/datatype.hpp"

#include <initializer_list>
#include <muster/error.hpp>
#include <utility>

#include "base/narrow.hpp"
#include "h5/table_rows.hpp"
#include "model/dtypes.hpp"

namespace muster::h5 {

namespace {

Datatype copy_of(hid_t type) { return {H5Tcopy(type), "H5Tcopy"}; }

// A float of one or two bytes: sign, exponent, mantissa from the top.
Datatype float_type(std::size_t exponent_bits, std::size_t mantissa_bits, std::size_t bias) {
  const auto sign_at = exponent_bits + mantissa_bits;
  auto type = copy_of(H5T_IEEE_F32LE);
  check(H5Tset_fields(type.get(), sign_at, mantissa_bits, exponent_bits, 0, mantissa_bits), "H5Tset_fields");
  check(H5Tset_size(type.get(), (sign_at + 1) / 8), "H5Tset_size");
  check(H5Tset_ebias(type.get(), bias), "H5Tset_ebias");
  return type;
}

// An enum of one byte; the values of names are counted in that.
template <class Value>
Datatype enum_type(hid_t base, std::initializer_list<std::pair<const char*, Value>> names) {
  static_assert(sizeof(Value) == 1);
  Datatype type(H5Tenum_create(base), "H5Tenum_create");
  for (const auto& [name, value] : names) check(H5Tenum_insert(type.get(), name, &value), "H5Tenum_insert");
  return type;
}

Datatype complex_type(hid_t part, std::size_t part_bytes) {
  Datatype type(H5Tcreate(H5T_COMPOUND, 2 * part_bytes), "H5Tcreate");
  check(H5Tinsert(type.get(), "r", 0, part), "H5Tinsert");
  check(H5Tinsert(type.get(), "i", part_bytes, part), "H5Tinsert");
  return type;
}

}  // namespace

Datatype tensor_type(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return copy_of(H5T_IEEE_F64LE);
    case DType::float32:
      return copy_of(H5T_IEEE_F32LE);
    case DType::float16:
      return float_type(5, 10, 15);
    case DType::bfloat16:
      return float_type(8, 7, 127);
    case DType::int8:
      return copy_of(H5T_STD_I8LE);
    case DType::int16:
      return copy_of(H5T_STD_I16LE);
    case DType::int32:
      return copy_of(H5T_STD_I32LE);
    case DType::int64:
      return copy_of(H5T_STD_I64LE);
    case DType::uint8:
      return copy_of(H5T_STD_U8LE);
    case DType::boolean:
      return enum_type<std::int8_t>(H5T_STD_I8LE, {{"FALSE", 0}, {"TRUE", 1}});
    case DType::complex64:
      return complex_type(H5T_IEEE_F32LE, 4);
    case DType::complex128:
      return complex_type(H5T_IEEE_F64LE, 8);
    case DType::uint16:
      return copy_of(H5T_STD_U16LE);
    case DType::uint32:
      return copy_of(H5T_STD_U32LE);
    case DType::uint64:
      return copy_of(H5T_STD_U64LE);
    case DType::float8_e5m2:
      return float_type(5, 2, 15);
    case DType::float8_e4m3fn:
      return float_type(4, 3, 7);
    case DType::float8_e5m2fnuz:
      return float_type(5, 2, 16);
    case DType::float8_e4m3fnuz:
      return float_type(4, 3, 8);
    case DType::float8_e8m0fnu:
      // HDF5 has no floats without sign. A name for each code would make heads and reading them many times larger.
      return enum_type<std::uint8_t>(H5T_STD_U8LE, {{"2^-127", 0}, {"2^0", 127}, {"NaN", 255}});
    case DType::text:
      break;  // text_type()
  }
  throw Error(ErrorKind::internal, "unknown dtype");
}

std::optional<DType> dtype_of(hid_t type) {
  const auto bytes = H5Tget_size(type);
  for (const auto dtype : kAllDTypes) {
    if (item_bytes(dtype) == bytes && H5Tequal(type, tensor_type(dtype).get()) > 0) return dtype;
  }
  return std::nullopt;
}

Datatype text_type(std::uint64_t capacity_bytes) {
  auto type = copy_of(H5T_C_S1);
  check(H5Tset_size(type.get(), narrow<std::size_t>(capacity_bytes)), "H5Tset_size");
  check(H5Tset_strpad(type.get(), H5T_STR_NULLTERM), "H5Tset_strpad");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "H5Tset_cset");
  return type;
}

Datatype integrity_type() {
  Datatype type(H5Tcreate(H5T_COMPOUND, sizeof(IntegrityRow)), "H5Tcreate");
  const auto field = [&](const char* name, std::size_t offset, hid_t field_type) {
    check(H5Tinsert(type.get(), name, offset, field_type), "H5Tinsert");
  };
  field("dataset", offsetof(IntegrityRow, dataset), H5T_STD_REF_OBJ);
  field("offset", offsetof(IntegrityRow, offset), H5T_STD_U64LE);
  field("bytes", offsetof(IntegrityRow, bytes), H5T_STD_U64LE);
  field("xxh3", offsetof(IntegrityRow, hash), H5T_STD_U64LE);
  field("writer", offsetof(IntegrityRow, writer), H5T_STD_I32LE);
  return type;
}

Datatype telemetry_type() {
  Datatype type(H5Tcreate(H5T_COMPOUND, sizeof(TelemetryRecord)), "H5Tcreate");
  const auto field = [&](const char* name, std::size_t offset, hid_t field_type) {
    check(H5Tinsert(type.get(), name, offset, field_type), "H5Tinsert");
  };
  field("rank", offsetof(TelemetryRecord, rank), H5T_STD_I32LE);
  field("node", offsetof(TelemetryRecord, node), H5T_STD_I32LE);
  field("bytes", offsetof(TelemetryRecord, bytes), H5T_STD_U64LE);
  for (std::size_t i = 0; i < kTelemetryPhases.size(); ++i) {
    const auto column = std::string(name(kTelemetryPhases[i])) + "_s";
    field(column.c_str(), offsetof(TelemetryRecord, seconds) + i * sizeof(double), H5T_IEEE_F64LE);
  }
  return type;
}

}  // namespace muster::h5
