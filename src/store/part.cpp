#include "store/part.hpp"

#include <fcntl.h>

#include <muster/error.hpp>

namespace muster::store {

PartFile::PartFile(const std::filesystem::path& path, const Layout& layout, std::optional<h5::Head>& head,
                   HeadWhen when)
    : file_(path, O_RDWR | O_CREAT | O_TRUNC), when_(when) {
  const auto make_room = [&] {
    file_.resize(layout.file_bytes);
    file_.allocate(layout.file_bytes);
  };
  // Whatever the system refuses it refuses here: HDF5 does not get over a file that it cannot close.
  make_room();
  if (!head) {
    head = h5::build_head(layout, path);
    make_room();  // HDF5 began by cutting it
  } else if (when == HeadWhen::first) {
    file_.write_at(head->bytes, 0);
  }
}

void PartFile::seal(const Layout& layout, const h5::Head& head, const TableContents& contents) {
  if (when_ == HeadWhen::first) {
    Bytes found(layout.head_bytes);
    file_.read_at(found, 0);
    if (found != head.bytes) {
      throw Error(ErrorKind::internal, "the head of " + file_.path().string() + " has changed");
    }
  } else {
    file_.write_at(head.bytes, 0);
  }
  file_.write_at(h5::encode_tables(layout, head, contents), layout.head_bytes);
  file_.sync();
  file_.close();
}

}  // namespace muster::store
