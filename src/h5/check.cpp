#include "h5/check.hpp"

namespace muster::h5 {

namespace {

// The innermost entry says what really happened ("No space left on device"), the outermost what it was for.
herr_t collect(unsigned, const H5E_error2_t* entry, void* data) {
  auto& text = *static_cast<std::string*>(data);
  if (text.empty() && entry->desc != nullptr) text = entry->desc;
  return 0;
}

struct Search {
  std::string_view text;
  bool found = false;
};

herr_t look_for(unsigned, const H5E_error2_t* entry, void* data) {
  auto& search = *static_cast<Search*>(data);
  search.found |= entry->desc != nullptr && std::string_view(entry->desc).find(search.text) != std::string_view::npos;
  return 0;
}

}  // namespace

QuietErrors::QuietErrors() {
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

QuietErrors::~QuietErrors() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

void fail(const std::string& action) {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &reason);
  H5Eclear2(H5E_DEFAULT);
  throw Hdf5Error(action + ": " + (reason.empty() ? "HDF5 gives no reason" : reason));
}

bool last_error_mentions(std::string_view text) {
  Search search{text};
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_for, &search);
  return search.found;
}

hid_t check_id(hid_t id, const std::string& action) {
  if (id < 0) fail(action);
  return id;
}

void check(herr_t status, const std::string& action) {
  if (status < 0) fail(action);
}

}  // namespace muster::h5
