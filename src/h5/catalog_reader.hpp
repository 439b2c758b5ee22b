#pragma once
// Reading what a checkpoint file says of itself. Local; safe on files of any content.

#include <filesystem>

#include "model/catalog.hpp"

namespace muster::h5 {

// Opens the file through HDF5, reads all metadata and tables, and checks that the head and the tables hash to what
// /integrity says, that every extent lies inside the file and inside its tensor, and that the file has its full size.
// Payload bytes are not read. Throws Error{not_found} where there is no file, Error{io} where it cannot be read,
// Error{corrupt} naming file and cause otherwise.
Catalog read_catalog(const std::filesystem::path& path);

// The same checks of head and tables, but only /run is returned: what listing a directory needs.
RunInfo read_run(const std::filesystem::path& path);

}  // namespace muster::h5
