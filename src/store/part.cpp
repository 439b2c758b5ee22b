#include "store/part.hpp"

#include <fcntl.h>

#include <muster/error.hpp>

#include "base/posix.hpp"

namespace muster::store {

void create_part(const std::filesystem::path& part, const Layout& layout, std::optional<h5::Head>& head) {
  // Whatever the system refuses it refuses here: HDF5 does not get over a file that it cannot close.
  const auto make_room = [&](int flags) {
    posix::File file(part, O_WRONLY | flags);
    file.resize(layout.file_bytes);
    file.allocate(layout.file_bytes);
    return file;
  };
  const auto file = make_room(O_CREAT | O_TRUNC);
  if (head) {
    file.write_at(head->bytes, 0);
  } else {
    head = h5::build_head(layout, part);
    make_room(0);
  }
}

void seal_part(const std::filesystem::path& part, const Layout& layout, const h5::Head& head,
               const h5::TableContents& contents) {
  posix::File file(part, O_RDWR);
  Bytes found(layout.head_bytes);
  file.read_at(found, 0);
  if (found != head.bytes) throw Error(ErrorKind::internal, "the head of " + part.string() + " has changed");
  file.write_at(h5::encode_tables(layout, head, contents), layout.head_bytes);
  file.sync();
  file.close();
}

}  // namespace muster::store
