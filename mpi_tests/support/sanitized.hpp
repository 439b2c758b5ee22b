#pragma once
// Whether AddressSanitizer looks on: what takes ten to a hundred times as long then is done less often, since
// the other builds do all of it.

namespace muster::test {

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace muster::test
