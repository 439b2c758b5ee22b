// Trains a TorchScript module, such as a Python program exports with torch.jit.script(model).save("model.pt"). Without
// an argument it makes a small one.
//
//     mpirun -n 2 scripted [model.pt]
//
// The module has the inputs [batch, 4] and the outputs [batch, 1]. If the job is killed, start it again: it continues
// bit by bit.

#include <mpi.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <iostream>
#include <muster/torch.hpp>
#include <string>
#include <vector>

torch::jit::Module small_module() {
  torch::jit::Module module("Small");
  module.register_parameter("widen", torch::randn({4, 16}).set_requires_grad(true), false);
  module.register_parameter("narrow", torch::randn({16, 1}).set_requires_grad(true), false);
  module.define("def forward(self, x):\n    return x.matmul(self.widen).tanh().matmul(self.narrow)\n");
  return module;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);

  // TorchScript compiles a module anew after its first runs, which changes the last digits of what it computes. Without
  // that, a job that resumes computes the same bits as one that was never interrupted.
  const torch::jit::GraphOptimizerEnabledGuard unoptimized(false);
  torch::manual_seed(1);  // all ranks hold the same model
  auto model = argc > 1 ? torch::jit::load(argv[1]) : small_module();
  std::vector<torch::Tensor> parameters;
  for (const auto& parameter : model.parameters()) parameters.push_back(parameter);
  torch::optim::SGD optimizer(parameters, torch::optim::SGDOptions(0.01).momentum(0.9));
  torch::manual_seed(1000 + rank);  // each rank draws its own samples

  muster::TrainingState state;
  state.add_model("model", model);
  state.add_optimizer("optimizer", optimizer, {"model"});
  state.add_rng();
  {
    muster::Checkpointer checkpoints(MPI_COMM_WORLD, "scripted-ckpts");
    int step = 0;
    if (checkpoints.latest_tag()) step = checkpoints.load(state).user_content->at("step").get<int>();
    for (++step; step <= 1000; ++step) {
      const auto input = torch::randn({16, 4});
      const auto loss = torch::mse_loss(model.forward({input}).toTensor(), input.sum(1, true).sin());
      optimizer.zero_grad();
      loss.backward();
      for (auto& parameter : parameters) {  // data parallel: the mean of the gradients of all ranks
        auto gradient = parameter.grad();
        MPI_Allreduce(MPI_IN_PLACE, gradient.data_ptr(), static_cast<int>(gradient.numel()), MPI_FLOAT, MPI_SUM,
                      MPI_COMM_WORLD);
        gradient.div_(ranks);
      }
      optimizer.step();
      if (step % 100 != 0) continue;
      if (rank == 0) std::cout << "step " << step << ": loss " << loss.item<float>() << std::endl;
      checkpoints.save(state, {.tag = "step_" + std::to_string(step), .user_content = {{"step", step}}});
    }
  }
  MPI_Finalize();
}
