#pragma once
// Who holds what, and who writes what. Pure data.

#include <cstdint>
#include <muster/state.hpp>
#include <string>
#include <vector>

#include "model/layout.hpp"

namespace muster {

using RankSet = std::vector<int>;  // sorted, without repetition

// A range of a tensor's elements as they lie in the file (StorageOrder), and the ranks that hold it.
struct HeldRange : ElementRange {
  std::uint32_t rank_set = 0;  // index into GlobalState::rank_sets
  friend bool operator==(const HeldRange&, const HeldRange&) = default;
};

// A tensor as the whole job holds it: its ranges, in the order of the file, cover it without gap or overlap, padding
// and all.
struct GlobalTensor : TensorDescription {
  Shape chunk_shape = {};  // empty: row-major in the file
  std::vector<HeldRange> ranges = {};
};

// The bytes that the file has for a JSON document; its text may change from save to save as long as it fits.
struct DocumentSlot {
  std::string path;
  std::uint64_t capacity_bytes = 0;
  friend bool operator==(const DocumentSlot&, const DocumentSlot&) = default;
};

struct GlobalState {
  int world_size = 1;
  std::vector<RankSet> rank_sets;
  std::vector<GlobalTensor> tensors;    // by path
  std::vector<DocumentSlot> documents;  // by path
};

// Who writes what, before it is known where in the file the tensors lie.
struct WritePlan {
  int world_size = 1;
  std::vector<StoredTensor> tensors;    // in file order, without offsets
  std::vector<Extent> extents;          // by tensor, then by offset, which is of the tensor; every byte once
  std::vector<DocumentSlot> documents;  // by path
};

}  // namespace muster
