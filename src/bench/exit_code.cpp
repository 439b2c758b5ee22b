#include "bench/exit_code.hpp"

namespace muster::bench {

ExitCode exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return kWrongUsage;
    case ErrorKind::corrupt:
    case ErrorKind::mismatch:
      return kNotSo;
    case ErrorKind::io:
    case ErrorKind::busy:
    case ErrorKind::timeout:
    case ErrorKind::internal:
    case ErrorKind::superseded:
    case ErrorKind::exists:
    case ErrorKind::not_found:
      return kNoAccess;
  }
  return kNoAccess;
}

}  // namespace muster::bench
