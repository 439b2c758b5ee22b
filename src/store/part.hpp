#pragma once
// The part file of one save: what one rank (rank 0) does to it before and after all ranks write their payload.

#include <filesystem>
#include <optional>

#include "base/posix.hpp"
#include "h5/head.hpp"
#include "h5/tables.hpp"
#include "model/layout.hpp"

namespace muster::store {

class PartFile {
 public:
  // Whether the part must hold its head before the payload is written (engines that go through HDF5), or may get it
  // together with the tables.
  enum class HeadWhen : std::uint8_t { first, with_tables };

  // Makes the part in its full size. A head kept from an earlier save of the same layout is written again with one
  // pwrite; else HDF5 builds it, and it is kept in `head`. Space for all of the file is reserved where the file system
  // can: a full disk is found here, before anything is written. Throws Error{io}.
  PartFile(const std::filesystem::path& path, const Layout& layout, std::optional<h5::Head>& head, HeadWhen when);

  // After the payload: writes head and tables, or checks that a head written first is still what it was and writes the
  // tables; then makes the file durable. Throws Error{io}; Error{internal} where the head has changed.
  void seal(const Layout& layout, const h5::Head& head, const TableContents& contents);

 private:
  posix::File file_;  // open from start to end: an error of writing back is reported to whoever had it open
  HeadWhen when_;
};

}  // namespace muster::store
