#pragma once
// The tables of a checkpoint as bytes: everything that differs between two saves of the same layout. Pure.

#include <map>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "h5/head.hpp"
#include "model/catalog.hpp"
#include "model/layout.hpp"

namespace muster::h5 {

struct TableContents {
  RunInfo run;
  std::map<std::string, std::string> documents;  // text by path
  std::vector<std::uint64_t> extent_hashes;      // in the layout's order
  std::vector<TelemetryRow> telemetry;           // one row a rank
};

// The layout.tables_bytes bytes that follow the head in the file, /integrity with all hashes included.
// Throws Error{internal} where a text does not fit its capacity.
Bytes encode_tables(const Layout& layout, const Head& head, const TableContents& contents);

}  // namespace muster::h5
