// Trains an agent: an actor and a critic under one optimizer, a target network, a learning rate of its own schedule, a
// running mean of what it observes, and a replay buffer and an environment on each rank. All of it is one checkpoint.
//
//     mpirun -n 2 agent
//
// If the job is killed, start it again: on as many ranks it continues bit by bit. On another number of ranks, the
// replay buffers are shared out, and new ranks begin with a new environment.

#include <mpi.h>
#include <torch/torch.h>

#include <algorithm>
#include <iostream>
#include <muster/torch.hpp>
#include <string>
#include <vector>

using torch::nn::Linear;

// The learning rate grows over the first steps.
struct Warmup {
  torch::optim::Optimizer& optimizer;
  int steps = 0;
  void step() {
    const double rate = 2e-3 * std::min(1.0, ++steps / 100.0);
    static_cast<torch::optim::AdamOptions&>(optimizer.param_groups()[0].options()).lr(rate);
  }
  nlohmann::json state_dict() const { return {{"steps", steps}}; }
  void load_state_dict(const nlohmann::json& state) { steps = state.at("steps"); }
};

void mean_over_ranks(torch::Tensor tensor, int ranks) {
  MPI_Allreduce(MPI_IN_PLACE, tensor.data_ptr(), static_cast<int>(tensor.numel()), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  tensor.div_(ranks);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);

  torch::manual_seed(1);  // all ranks hold the same networks
  torch::nn::Sequential actor(Linear(2, 32), torch::nn::Tanh(), Linear(32, 1), torch::nn::Tanh());
  torch::nn::Sequential critic(Linear(3, 32), torch::nn::Tanh(), Linear(32, 1));
  torch::nn::Sequential target(Linear(3, 32), torch::nn::Tanh(), Linear(32, 1));
  auto parameters = actor->parameters();
  for (const auto& parameter : critic->parameters()) parameters.push_back(parameter);
  torch::optim::Adam optimizer(parameters, torch::optim::AdamOptions(2e-3));
  Warmup warmup{optimizer};
  torch::Tensor mean = torch::zeros({2});
  std::vector<torch::Tensor> replay;                      // position, speed, action, reward, next position and speed
  nlohmann::json environment = {{"x", 1.0}, {"v", 0.0}};  // a mass on a line
  torch::manual_seed(1000 + rank);                        // each rank acts on its own

  muster::TrainingState state;
  state.add_model("actor", actor);
  state.add_model("critic", critic);
  state.add_model("target", target);
  state.add_optimizer("adam", optimizer, {"actor", "critic"});
  state.add_scheduler("warmup", warmup);
  state.add_tensor("observations/mean", mean);
  state.per_rank(muster::share_out_ranks).add_tensors("replay", replay);
  state.per_rank([](int saved, int rank, int) { return rank < saved ? std::vector{rank} : std::vector<int>{}; })
      .add_document("environment", environment);
  state.add_rng();
  {
    muster::Checkpointer checkpoints(MPI_COMM_WORLD, "agent-ckpts");
    int step = 0;
    if (checkpoints.latest_tag()) step = checkpoints.load(state).user_content->at("step").get<int>();
    if (step > 0)
      std::cerr << "rank " << rank << " has " << replay.size() << " transitions after step " << step << "\n";
    for (++step; step <= 1000; ++step) {
      const auto seen = torch::tensor({environment["x"].get<float>(), environment["v"].get<float>()});
      mean.mul_(0.99).add_(seen, 0.01);
      mean_over_ranks(mean, ranks);
      const auto action = actor->forward(seen - mean).detach() + 0.1 * torch::randn({1});
      const double v = 0.95 * seen[1].item<float>() + 0.1 * action.item<float>();
      const double x = std::clamp(seen[0].item<float>() + 0.1 * v, -2.0, 2.0);
      environment = {{"x", x}, {"v", v}};
      const auto next = torch::tensor({static_cast<float>(x), static_cast<float>(v), static_cast<float>(-x * x)});
      // Ranks keep different numbers of transitions.
      if (step % (rank + 1) == 0)
        replay.push_back(torch::cat({seen, action, next.slice(0, 2, 3), next.slice(0, 0, 2)}));
      if (replay.size() > 300) replay.erase(replay.begin());

      const auto batch = replay.empty() ? torch::zeros({1, 6}) : torch::stack(replay);
      const auto chosen = batch.index_select(0, torch::randint(batch.size(0), {16}));
      const auto now = chosen.slice(1, 0, 2) - mean;
      const auto later = chosen.slice(1, 4, 6) - mean;
      const auto value =
          chosen.slice(1, 3, 4) + 0.9 * target->forward(torch::cat({later, actor->forward(later)}, 1)).detach();
      const auto loss = (critic->forward(torch::cat({now, chosen.slice(1, 2, 3)}, 1)) - value).pow(2).mean() -
                        0.1 * critic->forward(torch::cat({now, actor->forward(now)}, 1)).mean();
      optimizer.zero_grad();
      loss.backward();
      for (auto& parameter : parameters) mean_over_ranks(parameter.grad(), ranks);
      warmup.step();
      optimizer.step();
      const torch::NoGradGuard no_grad;
      for (std::size_t i = 0; i < target->parameters().size(); ++i) {
        target->parameters()[i].lerp_(critic->parameters()[i], 0.05);
      }
      if (step % 100 != 0) continue;
      if (rank == 0) std::cout << "step " << step << ": loss " << loss.item<float>() << std::endl;
      checkpoints.save(state, {.tag = "step_" + std::to_string(step), .user_content = {{"step", step}}});
    }
  }
  MPI_Finalize();
}
