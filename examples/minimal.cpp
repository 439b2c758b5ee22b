// Trains a small model on several ranks. It saves a checkpoint every 100 steps and resumes from the newest one.
//
//     mpirun -n 2 minimal
//
// The checkpoints are minimal-ckpts/step_100.h5, minimal-ckpts/step_200.h5 and so on. If the job is killed, start it
// again with the same command: it continues from the newest checkpoint, and its losses equal those of an uninterrupted
// run bit by bit.

#include <mpi.h>
#include <torch/torch.h>

#include <cstdint>
#include <iostream>
#include <muster/torch.hpp>
#include <string>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const MPI_Comm comm = MPI_COMM_WORLD;
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);

  torch::manual_seed(1);  // all ranks hold the same model
  torch::nn::Sequential model(torch::nn::Linear(8, 32), torch::nn::Tanh(), torch::nn::Linear(32, 1));
  torch::optim::AdamW optimizer(model->parameters(), torch::optim::AdamWOptions(0.01));
  torch::optim::StepLR scheduler(optimizer, 300, 0.5);
  torch::manual_seed(1000 + rank);  // each rank draws its own samples

  std::int64_t step = 0;
  if (muster::has_checkpoint(comm, "minimal-ckpts")) {
    const auto user_content = muster::load_checkpoint(
        comm, "minimal-ckpts", {.model = model, .optimizer = optimizer, .scheduler = scheduler, .rng = true});
    step = user_content->at("step").get<std::int64_t>();
  }
  for (++step; step <= 1000; ++step) {
    const auto input = torch::randn({16, 8});
    const auto loss = torch::mse_loss(model->forward(input), input.sin().sum(1, true));
    optimizer.zero_grad();
    loss.backward();
    for (auto& parameter : model->parameters()) {  // data parallel: the mean of the gradients of all ranks
      auto gradient = parameter.grad();
      MPI_Allreduce(MPI_IN_PLACE, gradient.data_ptr(), static_cast<int>(gradient.numel()), MPI_FLOAT, MPI_SUM, comm);
      gradient.div_(ranks);
    }
    optimizer.step();
    scheduler.step();
    if (step % 100 == 0) {
      if (rank == 0) std::cout << "step " << step << ": loss " << loss.item<float>() << std::endl;
      muster::save_checkpoint(comm, "minimal-ckpts",
                              {.tag = "step_" + std::to_string(step),
                               .model = model,
                               .optimizer = optimizer,
                               .scheduler = scheduler,
                               .user_content = {{"step", step}},
                               .num_kept_ckpts = 5,
                               .rng = true});
    }
  }
  MPI_Finalize();
}
