// Trains a generator and a discriminator against each other, with an optimizer each, and saves all of it as one
// checkpoint every 100 steps.
//
//     mpirun -n 2 gan
//
// If the job is killed, start it again with the same command: it continues from the newest checkpoint, and its losses
// equal those of an uninterrupted run bit by bit. `muster show gan-ckpts` lists both models and both optimizers.

#include <mpi.h>
#include <torch/torch.h>

#include <cmath>
#include <iostream>
#include <muster/torch.hpp>
#include <string>

using torch::nn::Linear;

// Data parallel: the mean of the gradients of all ranks.
void step_together(torch::optim::Optimizer& optimizer, const torch::Tensor& loss, int ranks) {
  optimizer.zero_grad();
  loss.backward();
  for (auto& parameter : optimizer.param_groups()[0].params()) {
    auto gradient = parameter.grad();
    MPI_Allreduce(MPI_IN_PLACE, gradient.data_ptr(), static_cast<int>(gradient.numel()), MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
    gradient.div_(ranks);
  }
  optimizer.step();
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);

  torch::manual_seed(1);  // all ranks hold the same models
  torch::nn::Sequential generator(Linear(2, 32), torch::nn::ReLU(), Linear(32, 2));
  torch::nn::Sequential discriminator(Linear(2, 32), torch::nn::ReLU(), Linear(32, 1));
  const auto options = torch::optim::AdamOptions(2e-3).betas({0.5, 0.999});
  torch::optim::Adam generator_optimizer(generator->parameters(), options);
  torch::optim::Adam discriminator_optimizer(discriminator->parameters(), options);
  torch::manual_seed(1000 + rank);  // each rank draws its own samples

  nlohmann::json position = {{"step", 0}};
  muster::TrainingState state;
  state.add_model("generator", generator);
  state.add_model("discriminator", discriminator);
  state.add_optimizer("generator_optimizer", generator_optimizer, {"generator"});
  state.add_optimizer("discriminator_optimizer", discriminator_optimizer, {"discriminator"});
  state.add_document("position", position);
  state.add_rng();
  {
    muster::Checkpointer checkpoints(MPI_COMM_WORLD, "gan-ckpts");
    if (checkpoints.latest_tag()) checkpoints.load(state);
    for (int step = position["step"].get<int>() + 1; step <= 1000; ++step) {
      const auto angle = torch::rand({32}) * 2 * M_PI;  // the data: points on a circle
      const auto real = torch::stack({angle.cos(), angle.sin()}, 1);
      const auto fake = generator->forward(torch::randn({32, 2}));
      const auto loss = torch::softplus(-discriminator->forward(real)).mean() +
                        torch::softplus(discriminator->forward(fake.detach())).mean();
      step_together(discriminator_optimizer, loss, ranks);
      step_together(generator_optimizer, torch::softplus(-discriminator->forward(fake)).mean(), ranks);
      if (step % 100 != 0) continue;
      if (rank == 0) std::cout << "step " << step << ": loss " << loss.item<float>() << std::endl;
      position["step"] = step;
      checkpoints.save(state, {.tag = "step_" + std::to_string(step)});
    }
  }
  MPI_Finalize();
}
