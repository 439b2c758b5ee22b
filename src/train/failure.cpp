#include "train/failure.hpp"

#include <torch/torch.h>

#include <exception>
#include <new>

namespace muster::train {

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    return {ErrorKind::internal, "Torch: " + message.substr(0, message.find('\n'))};
  } catch (const std::bad_alloc&) {
    return {ErrorKind::internal, "out of memory"};
  } catch (const std::exception& error) {
    return {ErrorKind::internal, error.what()};
  } catch (...) {
    return {ErrorKind::internal, "an exception of an unknown kind"};
  }
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::mismatch:
    case ErrorKind::not_found:
    case ErrorKind::corrupt:
      return kExitCheckpoint;
    case ErrorKind::usage:
    case ErrorKind::exists:
      return kExitUsage;
    case ErrorKind::io:
    case ErrorKind::timeout:
    case ErrorKind::internal:
      break;
    case ErrorKind::superseded:
      return kExitSuperseded;
    case ErrorKind::busy:
      return kExitBusy;
  }
  return kExitOther;
}

}  // namespace muster::train
