// Saves three checkpoints of a small state, for the tests of the command line. Usage: make_checkpoints DIRECTORY

#include <iostream>
#include <muster/muster.hpp>
#include <numeric>

namespace {

void save_three(const char* directory) {
  std::vector<float> weight(std::size_t{300} * 1000);
  std::iota(weight.begin(), weight.end(), 1.0F);
  const std::vector<float> bias(10, 0.5F);
  const double lr_scale = 0.25;
  muster::State state;
  state.add(muster::object_path({"model", "fc.weight"}), muster::DType::float32, {300, 1000}, weight.data());
  state.add(muster::object_path({"model", "fc.bias"}), muster::DType::float32, {10}, bias.data());
  state.add(muster::object_path({"optimizer", "fc.weight", "scale"}), muster::DType::float64, {}, &lr_scale);
  for (const int step : {10, 20, 30}) {
    muster::save_checkpoint(MPI_COMM_WORLD, directory, state,
                            {.tag = "step_" + std::to_string(step), .user_content = {{"total_steps", step}}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_checkpoints DIRECTORY\n";
    return 2;
  }
  MPI_Init(&argc, &argv);
  save_three(argv[1]);
  MPI_Finalize();
  return 0;
}
