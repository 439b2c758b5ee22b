#include "program/exit_code.hpp"

namespace muster::program {

ExitCode exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::mismatch:
    case ErrorKind::not_found:
    case ErrorKind::corrupt:
      return kNotSo;
    case ErrorKind::usage:
    case ErrorKind::exists:
      return kWrongUsage;
    case ErrorKind::superseded:
      return kSuperseded;
    case ErrorKind::busy:
      return kBusy;
    case ErrorKind::io:
    case ErrorKind::timeout:
    case ErrorKind::internal:
      break;
  }
  return kFailed;
}

}  // namespace muster::program
