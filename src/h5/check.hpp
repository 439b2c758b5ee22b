#pragma once
// The one wrapper of HDF5 return codes, and the guard under which muster calls HDF5.

#include <hdf5.h>

#include <muster/error.hpp>
#include <string>
#include <string_view>

namespace muster::h5 {

// An error that HDF5 reported.
class Hdf5Error : public Error {
 public:
  explicit Hdf5Error(const std::string& message) : Error(ErrorKind::io, message) {}
};

// Keeps HDF5 from printing to stderr while it lives; what was set before comes back after. Every function of this
// function that calls HDF5 holds one, so that errors reach people through exceptions only.
class QuietErrors {
 public:
  QuietErrors();
  ~QuietErrors();
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

// Throws Hdf5Error "<action>: <HDF5's innermost reason>" for a negative result; returns the result otherwise.
hid_t check_id(hid_t id, const std::string& action);
void check(herr_t status, const std::string& action);
// Like check, for calls where zero means failure too (H5Iget_name and friends report sizes).
[[noreturn]] void fail(const std::string& action);
// Whether any entry of HDF5's error stack has this text in it; asked before fail(), which clears the stack.
bool last_error_mentions(std::string_view text);

}  // namespace muster::h5
