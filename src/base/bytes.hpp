#pragma once
// Values packed into bytes to travel between ranks: little-endian, lengths first, every read checked.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <muster/error.hpp>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace muster {

static_assert(std::endian::native == std::endian::little, "muster's files and messages are little-endian");

using Bytes = std::vector<std::byte>;

class ByteWriter {
 public:
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof(T));
  }
  void put_text(std::string_view text) {
    put(std::uint64_t{text.size()});
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), first, first + text.size());
  }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put_list(const std::vector<T>& values) {
    put(std::uint64_t{values.size()});
    const auto bytes = std::as_bytes(std::span(values));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value;
    std::memcpy(&value, next(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string get_text() {
    const auto size = get<std::uint64_t>();
    const auto text = next(size);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  template <class T>
  requires std::is_trivially_copyable_v<T> std::vector<T> get_list() {
    const auto count = get<std::uint64_t>();
    if (count > bytes_.size() / sizeof(T)) too_short();
    std::vector<T> values(count);
    std::ranges::copy(next(count * sizeof(T)), std::as_writable_bytes(std::span(values)).begin());
    return values;
  }
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }

 private:
  std::span<const std::byte> next(std::uint64_t size) {
    if (size > bytes_.size()) too_short();
    const auto part = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return part;
  }
  [[noreturn]] static void too_short() { throw Error(ErrorKind::internal, "a message between ranks is too short"); }

  std::span<const std::byte> bytes_;
};

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace muster
