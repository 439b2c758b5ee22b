// Trains a small model under a SavePolicy, with saves in the background. The policy asks for a save every 200 steps and
// every ten minutes, when SIGUSR1 or SIGTERM comes to any rank, and in time before the job ends.
//
//     mpirun -n 2 policy
//     kill -USR1 <the process id of a rank>    # saves, stops, and asks Slurm to start the job again
//
// Start it again with the same command: it continues from the newest checkpoint. The 2000 steps take a second or two:
// raise their number to have time for the signal.

#include <mpi.h>
#include <torch/torch.h>

#include <cstdint>
#include <iostream>
#include <muster/policy.hpp>
#include <muster/torch.hpp>
#include <string>

int main(int argc, char** argv) {
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);  // saves are published without a further call
  const MPI_Comm comm = MPI_COMM_WORLD;
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  {
    torch::manual_seed(1);  // all ranks hold the same model
    torch::nn::Sequential model(torch::nn::Linear(8, 256), torch::nn::Tanh(), torch::nn::Linear(256, 1));
    torch::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));
    nlohmann::json progress = {{"step", 0}};
    muster::TrainingState state;
    state.add_model(model);
    state.add_optimizer(optimizer);
    state.add_document("progress", progress);
    state.add_rng();

    muster::Checkpointer checkpoints(comm, "policy-ckpts", {.retention = {.newest = 5}});
    if (checkpoints.latest_tag()) checkpoints.load(state);

    muster::SavePolicy policy(comm, {.every_steps = 200, .every_minutes = 10, .saves_in_flight = 1});
    muster::SaveHandle save;  // the newest save; empty before the first one
    for (auto step = progress["step"].get<std::int64_t>() + 1; step <= 2000; ++step) {
      const auto input = torch::randn({32, 8});
      const auto loss = torch::mse_loss(model->forward(input), input.sin().sum(1, true));
      optimizer.zero_grad();
      loss.backward();
      save.wait_staged();  // the parameters may change after this call returns
      optimizer.step();
      if (policy.should_save(step)) {
        policy.note_save(save.wait());  // how long the save before this one took
        if (rank == 0) std::cout << "step " << step << ": loss " << loss.item<float>() << std::endl;
        progress["step"] = step;
        save = checkpoints.save_async(state, {.tag = "step_" + std::to_string(step),
                                              .async = {.overlap_staging = true},
                                              .reason = policy.why()});  // `muster stats` shows it
      }
      if (policy.should_stop()) break;
    }
    checkpoints.finalize();  // the last save is published, or its failure is thrown
    if (policy.should_stop()) policy.requeue();
  }
  MPI_Finalize();
}
