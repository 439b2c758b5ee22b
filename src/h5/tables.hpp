#pragma once
// The tables of a checkpoint as bytes: everything that differs between two saves of the same layout. Pure.

#include "base/bytes.hpp"
#include "h5/head.hpp"
#include "model/catalog.hpp"

namespace muster::h5 {

// The layout.tables_bytes bytes that follow the head in the file, /integrity with all hashes included.
// Throws Error{internal} where a text does not fit its capacity.
Bytes encode_tables(const Layout& layout, const Head& head, const TableContents& contents);

}  // namespace muster::h5
