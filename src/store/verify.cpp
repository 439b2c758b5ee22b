#include "store/verify.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>

#include "base/bytes.hpp"
#include "base/hash.hpp"
#include "base/posix.hpp"
#include "model/layout.hpp"

namespace muster::store {

namespace {

struct Gap {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

std::vector<Gap> gaps_of(const Catalog& catalog) {
  std::vector<Gap> gaps;
  std::uint64_t end = catalog.head_bytes + catalog.tables_bytes;
  for (const auto& extent : catalog.extents) {
    if (extent.offset > end) gaps.push_back({end, extent.offset - end});
    end = std::max(end, extent.offset + extent.bytes);
  }
  if (catalog.run.file_bytes > end) gaps.push_back({end, catalog.run.file_bytes - end});
  return gaps;
}

class Verifier {
 public:
  Verifier(const std::filesystem::path& file, const Catalog& catalog,
           const std::function<void(std::uint64_t)>& progress)
      : file_(file, O_RDONLY), catalog_(catalog), progress_(progress), buffer_(kMaxExtentBytes) {}

  void check(const CatalogExtent& extent) {
    Hasher hasher;
    read(extent.offset, extent.bytes, [&](std::span<const std::byte> part) { hasher.add(part); });
    if (hasher.value() == extent.hash) return;
    const auto& tensor = catalog_.tensors[extent.tensor];
    result_.damages.push_back(
        {tensor.path, extent.offset - tensor.offset, extent.bytes, extent.offset, extent.writer,
         fmt::format("hashes to {}, saved was {}", hash_text(hasher.value()), hash_text(extent.hash))});
  }

  void check(const Gap& gap) {
    std::uint64_t at = gap.offset;
    read(gap.offset, gap.bytes, [&](std::span<const std::byte> part) {
      const auto first = std::find_if(part.begin(), part.end(), [](std::byte b) { return b != std::byte{0}; });
      if (first != part.end()) {
        const auto offset = at + static_cast<std::uint64_t>(first - part.begin());
        result_.damages.push_back({"", offset, 1, offset, -1, "not zero between two tensors"});
      }
      at += part.size();
    });
  }

  VerifyResult take() { return std::move(result_); }

 private:
  template <class Use>
  void read(std::uint64_t offset, std::uint64_t bytes, Use&& use) {
    while (bytes > 0) {
      const std::span part(buffer_.data(), std::min<std::uint64_t>(bytes, buffer_.size()));
      file_.read_at(part, offset);
      use(std::span<const std::byte>(part));
      offset += part.size();
      bytes -= part.size();
      result_.bytes += part.size();
      if (progress_) progress_(result_.bytes);
    }
  }

  posix::File file_;
  const Catalog& catalog_;
  const std::function<void(std::uint64_t)>& progress_;
  Bytes buffer_;
  VerifyResult result_;
};

}  // namespace

std::string Damage::text() const {
  if (dataset.empty()) return fmt::format("byte {} of the file: {}", file_offset, cause);
  return fmt::format("{} bytes [{}, {}) (file bytes [{}, {}), written by rank {}): {}", dataset, first_byte,
                     first_byte + bytes, file_offset, file_offset + bytes, writer, cause);
}

VerifyResult verify(const std::filesystem::path& file, const Catalog& catalog, Share share,
                    const std::function<void(std::uint64_t)>& progress) {
  Verifier verifier(file, catalog, progress);
  const auto count = static_cast<std::size_t>(share.count);
  const auto index = static_cast<std::size_t>(share.index);
  for (std::size_t i = index; i < catalog.extents.size(); i += count) verifier.check(catalog.extents[i]);
  const auto gaps = gaps_of(catalog);
  for (std::size_t i = index; i < gaps.size(); i += count) verifier.check(gaps[i]);
  return verifier.take();
}

}  // namespace muster::store
