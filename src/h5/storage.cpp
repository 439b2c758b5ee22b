#include "h5/storage.hpp"

#include <algorithm>
#include <functional>
#include <muster/error.hpp>
#include <vector>

namespace muster::h5 {

namespace {

PropertyList creation_of(hid_t dataset) { return {H5Dget_create_plist(dataset), "H5Dget_create_plist"}; }

// Of the first chunk; without an index the others follow it.
std::uint64_t chunks_offset(hid_t dataset, std::size_t dims, const std::string& path) {
  H5D_chunk_index_t index{};
  check(H5Dget_chunk_index_type(dataset, &index), "chunk index of " + path);
  if (index != H5D_CHUNK_IDX_NONE && index != H5D_CHUNK_IDX_SINGLE) {
    throw Error(ErrorKind::corrupt, path + " has chunks with an index, as muster does not write them");
  }
  const std::vector<hsize_t> first_element(dims, 0);
  unsigned skipped_filters = 0;
  haddr_t offset = HADDR_UNDEF;
  hsize_t bytes = 0;
  check(H5Dget_chunk_info_by_coord(dataset, first_element.data(), &skipped_filters, &offset, &bytes),
        "first chunk of " + path);
  return offset;
}

}  // namespace

Shape chunk_shape(hid_t dataset, const Shape& shape, const std::string& path) {
  const auto creation = creation_of(dataset);
  if (H5Pget_layout(creation.get()) != H5D_CHUNKED) return {};
  if (H5Pget_nfilters(creation.get()) != 0) throw Error(ErrorKind::corrupt, path + " has filters");
  std::vector<hsize_t> chunk(shape.size());
  if (H5Pget_chunk(creation.get(), static_cast<int>(shape.size()), chunk.data()) < 0) fail("H5Pget_chunk");
  if (!std::equal(chunk.begin(), chunk.end(), shape.begin(), std::less_equal<>())) {
    throw Error(ErrorKind::corrupt, path + " has chunks larger than itself");
  }
  return {chunk.begin(), chunk.end()};
}

std::uint64_t storage_offset(hid_t dataset, const std::string& path) {
  const auto creation = creation_of(dataset);
  const Dataspace space(H5Dget_space(dataset), "H5Dget_space");
  const auto dims = H5Sget_simple_extent_ndims(space.get());
  if (dims < 0) fail("H5Sget_simple_extent_ndims");
  const bool in_chunks = H5Pget_layout(creation.get()) == H5D_CHUNKED;
  const auto offset = in_chunks ? chunks_offset(dataset, static_cast<std::size_t>(dims), path) : H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) throw Error(ErrorKind::corrupt, path + " has no place in the file");
  return offset;
}

}  // namespace muster::h5
