#pragma once
// The ranks of a large job, as far as a plan needs to know them: who holds which part of a LLaMA-like model.

#include <cstdint>
#include <muster/state.hpp>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "bench/plan_scale.hpp"
#include "model/catalog.hpp"
#include "model/layout.hpp"
#include "model/plan.hpp"
#include "plan/read_plan.hpp"

namespace muster::bench {

// Ranks that say the same of some of their tensors.
struct SimulatedSaying {
  RankSet ranks;
  Bytes bytes;
};

class SimulatedJob {
 public:
  explicit SimulatedJob(const PlanScaleOptions& options);

  [[nodiscard]] int ranks() const { return ranks_; }
  // All that a rank holds; no memory behind it.
  [[nodiscard]] State state_of(int rank) const;
  // What reaches every rank before it plans: the distinct portions of what all ranks hold, by lowest rank.
  [[nodiscard]] std::vector<SimulatedSaying> sayings() const;
  // What the ranks want that load what they saved.
  [[nodiscard]] std::vector<plan::Wish> wishes(const Catalog& catalog) const;

 private:
  struct ModelTensor {
    std::string name;
    Shape shape;
    int stage = 0;
  };
  // A rank's range of a tensor of its stage, and where that range begins in all that the rank trains.
  struct LocalRange {
    std::size_t tensor = 0;
    ElementRange range;
    std::uint64_t start = 0;
  };
  struct Place {
    int tensor = 0;
    int pipeline = 0;
    int data = 0;
  };

  void add_layers(std::uint64_t tensors);
  [[nodiscard]] Place place_of(int rank) const;
  [[nodiscard]] RankSet ranks_with_model_of(const Place& place) const;
  [[nodiscard]] std::vector<LocalRange> local_ranges(const Place& place) const;
  void add_model(const Place& place, State& state) const;
  void add_moments(const Place& place, const std::vector<LocalRange>& local, State& state) const;

  int ranks_;
  int tensor_parallel_;
  int pipeline_;
  int data_;
  bool zero1_;
  std::vector<ModelTensor> model_;
};

// What a reader finds in a file of this layout; hashes are zero.
Catalog catalog_of(const Layout& layout);

}  // namespace muster::bench
