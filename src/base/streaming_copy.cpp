#include "base/streaming_copy.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace muster {

void streaming_copy(std::span<std::byte> to, std::span<const std::byte> from) {
#ifdef __SSE2__
  constexpr std::size_t kLineBytes = 64;
  const auto before_line = (kLineBytes - reinterpret_cast<std::uintptr_t>(to.data()) % kLineBytes) % kLineBytes;
  const auto head = std::min<std::size_t>(before_line, to.size());
  const auto lines = (to.size() - head) / kLineBytes;
  std::copy_n(from.begin(), head, to.begin());
  auto* line = reinterpret_cast<__m128i*>(to.data() + head);
  const auto* source = reinterpret_cast<const __m128i*>(from.data() + head);
  for (std::size_t i = 0; i < lines; ++i, line += 4, source += 4) {
    const auto a = _mm_loadu_si128(source);
    const auto b = _mm_loadu_si128(source + 1);
    const auto c = _mm_loadu_si128(source + 2);
    const auto d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(line, a);
    _mm_stream_si128(line + 1, b);
    _mm_stream_si128(line + 2, c);
    _mm_stream_si128(line + 3, d);
  }
  _mm_sfence();
  const auto done = static_cast<std::ptrdiff_t>(head + lines * kLineBytes);
  std::copy(from.begin() + done, from.end(), to.begin() + done);
#else
  std::ranges::copy(from, to.begin());
#endif
}

}  // namespace muster
