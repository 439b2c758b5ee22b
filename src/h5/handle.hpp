#pragma once
// Move-only owners of HDF5 identifiers.

#include <hdf5.h>

#include <string>
#include <utility>

#include "h5/check.hpp"

namespace muster::h5 {

template <herr_t (*Close)(hid_t)>
class Handle {
 public:
  // Takes over an identifier that HDF5 just returned; a negative one is an error named by `action`.
  Handle(hid_t id, const std::string& action) : id_(check_id(id, action)) {}
  ~Handle() {
    if (id_ >= 0) Close(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  [[nodiscard]] hid_t get() const { return id_; }
  // Closes now, where an error can still be reported.
  void close(const std::string& action) {
    if (id_ >= 0) check(Close(std::exchange(id_, H5I_INVALID_HID)), action);
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using DatasetHandle = Handle<H5Dclose>;
using Datatype = Handle<H5Tclose>;
using Dataspace = Handle<H5Sclose>;
using PropertyList = Handle<H5Pclose>;

}  // namespace muster::h5
