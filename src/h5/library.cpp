#include "h5/library.hpp"

#include <fmt/format.h>

#include "h5/check.hpp"

namespace muster::h5 {

std::string library_version() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  check(H5get_libversion(&major, &minor, &release), "H5get_libversion");
  return fmt::format("{}.{}.{}", major, minor, release);
}

void skip_cleanup_at_exit() { check(H5dont_atexit(), "H5dont_atexit"); }

}  // namespace muster::h5
