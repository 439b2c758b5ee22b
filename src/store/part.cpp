#include "store/part.hpp"

#include <fcntl.h>

#include <muster/error.hpp>

#include "base/posix.hpp"

namespace muster::store {

void create_part(const std::filesystem::path& part, const Layout& layout, std::optional<h5::Head>& head) {
  if (!head) {
    head = h5::build_head(layout, part);
    return;
  }
  const posix::File file(part, O_WRONLY | O_CREAT | O_TRUNC);
  file.write_at(head->bytes, 0);
  file.resize(layout.file_bytes);
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
