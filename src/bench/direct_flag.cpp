#include "bench/direct_flag.hpp"

#include <fcntl.h>

#include <muster/error.hpp>

#include "base/posix.hpp"

namespace muster::bench {

int direct_flag(const std::filesystem::path& directory) {
  const auto probe = directory / "direct.probe";
  posix::File(probe, O_CREAT | O_WRONLY).close();
  int flag = O_DIRECT;
  try {
    posix::File(probe, O_WRONLY | O_DIRECT).close();
  } catch (const Error&) {
    flag = 0;
  }
  posix::remove(probe);
  return flag;
}

}  // namespace muster::bench
