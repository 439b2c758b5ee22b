#include "support/model.hpp"

#include <numeric>

namespace muster::test {

Model::Model(int seed) : weight(120 * 1000), bias(33), steps(seed) {
  std::iota(weight.begin(), weight.end(), static_cast<float>(seed));
  std::iota(bias.begin(), bias.end(), seed * 0.25);
}

State Model::state() {
  State state;
  state.add_mutable("/model/weight", DType::float32, {120, 1000}, weight.data());
  state.add_mutable("/model/bias", DType::float64, {33}, bias.data());
  state.add_mutable("/optimizer/steps", DType::int64, {}, &steps);
  return state;
}

LoadTarget Model::target() {
  LoadTarget target;
  target.state = state();
  target.sections = {"model", "optimizer"};
  return target;
}

}  // namespace muster::test
