#include "h5/storage.hpp"

#include <fmt/format.h>

#include <muster/error.hpp>
#include <vector>

namespace muster::h5 {

namespace {

PropertyList creation_of(hid_t dataset) { return {H5Dget_create_plist(dataset), "H5Dget_create_plist"}; }

struct Chunk {
  haddr_t offset = HADDR_UNDEF;
  hsize_t bytes = 0;
};

Chunk chunk_at(hid_t dataset, const std::vector<hsize_t>& first_element, const std::string& path) {
  Chunk chunk;
  unsigned skipped_filters = 0;
  check(H5Dget_chunk_info_by_coord(dataset, first_element.data(), &skipped_filters, &chunk.offset, &chunk.bytes),
        "chunk of " + path);
  return chunk;
}

// Where the chunks lie is asked for of the first and the last.
std::uint64_t chunks_offset(hid_t dataset, const Shape& chunk_shape, const std::string& path) {
  const Dataspace space(H5Dget_space(dataset), "H5Dget_space");
  std::vector<hsize_t> dims(chunk_shape.size());
  check(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), "H5Sget_simple_extent_dims");
  std::vector<hsize_t> last(dims.size());
  std::uint64_t chunks = 1;
  for (std::size_t dim = 0; dim < dims.size(); ++dim) {
    const auto in_dim = (dims[dim] + chunk_shape[dim] - 1) / chunk_shape[dim];
    last[dim] = (in_dim - 1) * chunk_shape[dim];
    chunks *= in_dim;
  }
  const auto front = chunk_at(dataset, std::vector<hsize_t>(dims.size(), 0), path);
  const auto back = chunk_at(dataset, last, path);
  if (front.offset == HADDR_UNDEF || back.offset != front.offset + (chunks - 1) * front.bytes) {
    fail(fmt::format("the chunks of {} do not follow each other", path));
  }
  return front.offset;
}

}  // namespace

Shape chunk_shape(hid_t dataset, std::size_t dims) {
  const auto creation = creation_of(dataset);
  if (H5Pget_layout(creation.get()) != H5D_CHUNKED) return {};
  if (H5Pget_nfilters(creation.get()) != 0) fail("a dataset with filters");
  std::vector<hsize_t> chunk(dims);
  if (H5Pget_chunk(creation.get(), static_cast<int>(dims), chunk.data()) < 0) fail("H5Pget_chunk");
  return {chunk.begin(), chunk.end()};
}

std::uint64_t storage_offset(hid_t dataset, const std::string& path) {
  const Dataspace space(H5Dget_space(dataset), "H5Dget_space");
  const auto dims = H5Sget_simple_extent_ndims(space.get());
  if (dims < 0) fail("H5Sget_simple_extent_ndims");
  const auto chunk = chunk_shape(dataset, static_cast<std::size_t>(dims));
  if (!chunk.empty()) return chunks_offset(dataset, chunk, path);
  const auto offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) fail(path + " has no place in the file");
  return offset;
}

}  // namespace muster::h5
