#pragma once
// The ranks of a large job, as far as a plan needs to know them: who holds which part of a LLaMA-like model.

#include <cstdint>
#include <map>
#include <muster/grid.hpp>
#include <muster/state.hpp>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "model/layout.hpp"
#include "model/plan.hpp"
#include "plan/read_plan.hpp"

namespace muster::bench {

// What the data-parallel ranks hold of the optimizer: nothing of their own (the tensors are all there is); each one
// range of the rows of all moments, one behind the other (ZeRO-1); or each a chunk of the rows of every moment (FSDP).
enum class HeldMoments : std::uint8_t { replicated, zero1, chunks };

// Ranks that say the same of some of their tensors.
struct SimulatedBytes {
  RankSet ranks;
  Bytes bytes;
};

// Fused attention weights and the first of the MLP are cut by columns of the layer, the second ones by its rows (along
// dimension 1), embeddings along the vocabulary; layers go to stages in equal numbers.
class SimulatedJob {
 public:
  // Throws Error{usage} where the grid does not fit the ranks.
  SimulatedJob(int ranks, std::uint64_t tensors, const Grid& grid, HeldMoments held);

  [[nodiscard]] int ranks() const { return grid_.world_size(); }
  [[nodiscard]] const ParallelGrid& grid() const { return grid_; }
  // Who is to hold the same tensors whole, as a save finds it.
  [[nodiscard]] std::vector<int> peer_groups() const;
  // All that a rank holds; no memory behind it.
  [[nodiscard]] State state_of(int rank) const;
  // What reaches every rank before it plans: the distinct packed of what all ranks hold, by lowest rank.
  [[nodiscard]] std::vector<SimulatedBytes> distinct() const;

  // What a rank wants of a file that holds these tensors.
  [[nodiscard]] std::vector<plan::ReadRequest> wants_of(int rank, const Layout& layout) const;
  // As distinct(), of what all ranks want; and the rank that wants most.
  struct Requests {
    std::vector<SimulatedBytes> distinct;
    int fullest_rank = 0;
  };
  [[nodiscard]] Requests all_requests(const Layout& layout) const;

 private:
  enum class Cut : std::uint8_t { none, rows, fused_rows, columns };
  struct ModelTensor {
    std::string name;
    Shape shape;
    Cut cut = Cut::none;
    std::vector<std::uint64_t> fused = {};
    int stage = 0;
  };
  // What all data-parallel ranks of a place hold of a tensor.
  struct LocalPart {
    std::size_t tensor = 0;
    Shard shard;
    std::uint64_t rows = 0;
    std::uint64_t row_elements = 0;
    std::uint64_t start = 0;  // in all that the place trains
  };

  void add_layers(std::uint64_t tensors);
  [[nodiscard]] std::vector<LocalPart> local_parts(int rank) const;
  [[nodiscard]] State model_state(const std::vector<LocalPart>& parts) const;
  [[nodiscard]] State moments_state(int rank, const std::vector<LocalPart>& parts) const;
  // The rows of a part that lie in [first, last) of all that the place trains.
  [[nodiscard]] ElementRange rows_between(const LocalPart& part, std::uint64_t first, std::uint64_t last) const;

  ParallelGrid grid_;
  HeldMoments held_;
  std::vector<ModelTensor> model_;
  std::map<int, std::vector<LocalPart>> parts_of_;  // by place: the group over the data axis
};

}  // namespace muster::bench
