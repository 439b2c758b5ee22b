#pragma once
// Who holds what, and who writes what. Pure data.

#include <cstdint>
#include <muster/state.hpp>
#include <string>
#include <vector>

namespace muster {

using RankSet = std::vector<int>;  // sorted, without repetition

// One range of a tensor's elements as they lie in the file (StorageOrder) and the ranks that hold it (an index into
// GlobalState::rank_sets).
struct Holding {
  ElementRange range;
  std::uint32_t holders = 0;
};

// A tensor as the whole job holds it: its holdings in the file's order cover it without gap or overlap, padding and
// all.
struct GlobalTensor {
  std::string path;
  DType dtype = DType::float32;
  Shape shape;
  std::vector<Holding> holdings;
  Shape chunk_shape = {};  // empty: row-major in the file
};

// Room for a JSON document in the file; its text may change from save to save as long as it fits.
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

// A range of a tensor's bytes in the file that one rank writes.
struct Piece {
  std::uint32_t tensor = 0;  // index into WritePlan::tensors
  std::uint64_t first_byte = 0;
  std::uint64_t bytes = 0;
  int writer = 0;
};

struct PlannedTensor {
  std::string path;
  DType dtype = DType::float32;
  Shape shape;
  Shape chunk_shape = {};
};

struct WritePlan {
  int world_size = 1;
  std::vector<PlannedTensor> tensors;   // in file order
  std::vector<Piece> pieces;            // by tensor, then by first byte; together every byte once
  std::vector<DocumentSlot> documents;  // by path
};

}  // namespace muster
