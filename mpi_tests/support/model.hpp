#pragma once
// A small model of a training job: tensors that a test fills, saves, loads and compares.

#include <cstdint>
#include <muster/muster.hpp>
#include <vector>

namespace muster::test {

struct Model {
  // Values follow from the seed; the same on all ranks that pass the same.
  explicit Model(int seed);

  // All of it, to be saved or loaded; the model must outlive what refers to it.
  [[nodiscard]] State state();
  [[nodiscard]] LoadTarget target();

  friend bool operator==(const Model&, const Model&) = default;

  std::vector<float> weight;  // /model/weight [120, 1000]
  std::vector<double> bias;   // /model/bias [33]
  std::int64_t steps = 0;     // /optimizer/steps []
};

}  // namespace muster::test
