#pragma once
// The part file of one save: what one rank (rank 0) does to it before and after all ranks write their payload.

#include <filesystem>
#include <optional>

#include "h5/head.hpp"
#include "h5/tables.hpp"
#include "model/layout.hpp"

namespace muster::store {

// Makes the part file in its full size with its head. A head kept from an earlier save of the same layout is written
// again with one pwrite; else HDF5 builds it, and it is kept in `head`. Space for all of the file is reserved where the
// file system can: a full disk is found here, where one rank can say so, and not inside a collective transfer, where an
// error of one rank may leave the others waiting. Throws Error{io}.
void create_part(const std::filesystem::path& part, const Layout& layout, std::optional<h5::Head>& head);

// After the payload: checks that the head is still what it was, writes the tables, and makes the file durable.
// Throws Error{io}; Error{internal} where the head has changed.
void seal_part(const std::filesystem::path& part, const Layout& layout, const h5::Head& head,
               const h5::TableContents& contents);

}  // namespace muster::store
