#pragma once
// Re-reading a checkpoint and comparing every byte with what was saved. Local; ranks can share the work.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/catalog.hpp"

namespace muster::store {

// A run of bytes that is not what was saved.
struct Damage : ByteRange {     // of the file
  std::string tensor;           // its path, or "" for bytes between tensors
  std::uint64_t in_tensor = 0;  // offset in the tensor
  int writer = -1;              // the rank that wrote them; -1 where nobody did
  std::string cause;

  // One line for people, without the file's name.
  [[nodiscard]] std::string text() const;
};

// Which part of the work is done here.
struct Share {
  int index = 0;
  int count = 1;
};

struct VerifyResult {
  std::uint64_t bytes = 0;  // looked at in this share
  std::vector<Damage> damages;
};

// Hashes the extents of this share and checks that bytes between tensors are zero. Head and tables were checked when
// the catalog was read: together that is every byte of the file. `progress` (may be empty) gets bytes done so far.
// Throws Error{io} where the file cannot be read.
VerifyResult verify(const std::filesystem::path& file, const Catalog& catalog, Share share,
                    const std::function<void(std::uint64_t)>& progress = {});

}  // namespace muster::store
