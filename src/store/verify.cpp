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

std::vector<ByteRange> gaps_of(const Catalog& catalog) {
  std::vector<ByteRange> gaps;
  std::uint64_t end = catalog.head_bytes + catalog.tables_bytes;
  for (const auto& extent : catalog.extents) {
    if (extent.offset > end) gaps.push_back({end, extent.offset - end});
    end = std::max(end, extent.end());
  }
  if (catalog.file_bytes > end) gaps.push_back({end, catalog.file_bytes - end});
  return gaps;
}

class Verifier {
 public:
  Verifier(const std::filesystem::path& file, const Catalog& catalog,
           const std::function<void(std::uint64_t)>& progress)
      : file_(file, O_RDONLY), catalog_(catalog), progress_(progress), buffer_(kMaxExtentBytes) {}

  void check_extent(std::size_t index) {
    const auto& extent = catalog_.extents[index];
    const auto saved = catalog_.hashes[index];
    Hasher hasher;
    read(extent, [&](std::span<const std::byte> part) { hasher.add(part); });
    if (hasher.value() == saved) return;
    const auto& tensor = catalog_.tensors[extent.tensor];
    result_.damages.push_back({extent, tensor.path, extent.offset - tensor.offset, extent.writer,
                               fmt::format("hashes to {}, saved was {}", hash_text(hasher.value()), hash_text(saved))});
  }

  void check_gap(const ByteRange& gap) {
    std::uint64_t at = gap.offset;
    read(gap, [&](std::span<const std::byte> part) {
      const auto first = std::find_if(part.begin(), part.end(), [](std::byte b) { return b != std::byte{0}; });
      if (first != part.end()) {
        const auto offset = at + static_cast<std::uint64_t>(first - part.begin());
        result_.damages.push_back({{offset, 1}, "", 0, -1, "not zero between two tensors"});
      }
      at += part.size();
    });
  }

  VerifyResult take() { return std::move(result_); }

 private:
  template <class Use>
  void read(ByteRange range, Use&& use) {
    while (range.bytes > 0) {
      const std::span part(buffer_.data(), std::min<std::uint64_t>(range.bytes, buffer_.size()));
      file_.read_at(part, range.offset);
      use(std::span<const std::byte>(part));
      range = {range.offset + part.size(), range.bytes - part.size()};
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
  if (tensor.empty()) return fmt::format("byte {} of the file: {}", offset, cause);
  return fmt::format("{} bytes [{}, {}) (file bytes [{}, {}), written by rank {}): {}", tensor, in_tensor,
                     in_tensor + bytes, offset, end(), writer, cause);
}

VerifyResult verify(const std::filesystem::path& file, const Catalog& catalog, Share share,
                    const std::function<void(std::uint64_t)>& progress) {
  Verifier verifier(file, catalog, progress);
  const auto count = static_cast<std::size_t>(share.count);
  const auto index = static_cast<std::size_t>(share.index);
  for (std::size_t i = index; i < catalog.extents.size(); i += count) verifier.check_extent(i);
  const auto gaps = gaps_of(catalog);
  for (std::size_t i = index; i < gaps.size(); i += count) verifier.check_gap(gaps[i]);
  return verifier.take();
}

}  // namespace muster::store
