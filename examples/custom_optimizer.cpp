// Trains with Lion, an optimizer of the program's own class, and saves it every 100 steps. OptimizerTraits name its
// state and its options.
//
//     mpirun -n 2 custom_optimizer
//
// If the job is killed, start it again with the same command: it continues from the newest checkpoint, and its losses
// equal those of an uninterrupted run bit by bit. `muster show custom_optimizer-ckpts` lists the momentum of each
// parameter.

#include <mpi.h>
#include <torch/torch.h>

#include <iostream>
#include <memory>
#include <muster/torch.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

struct LionOptions : torch::optim::OptimizerCloneableOptions<LionOptions> {
  double lr = 1e-3;
  std::tuple<double, double> betas{0.9, 0.99};
  double weight_decay = 0.01;
};
struct LionParamState : torch::optim::OptimizerCloneableParamState<LionParamState> {
  torch::Tensor momentum;
};

// Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023: steps by the sign of an interpolated momentum.
class Lion : public torch::optim::Optimizer {
 public:
  Lion(std::vector<torch::Tensor> parameters, const LionOptions& options)
      : Optimizer({torch::optim::OptimizerParamGroup(std::move(parameters))}, std::make_unique<LionOptions>(options)) {}
  torch::Tensor step(LossClosure = nullptr) override {
    const torch::NoGradGuard no_grad;
    for (auto& group : param_groups()) {
      const auto& options = static_cast<const LionOptions&>(group.options());
      const auto [beta1, beta2] = options.betas;
      for (auto& parameter : group.params()) {
        auto& entry = state()[muster::optimizer_state_key(parameter)];
        if (!entry) entry = std::make_unique<LionParamState>();
        auto& momentum = static_cast<LionParamState&>(*entry).momentum;
        if (!momentum.defined()) momentum = torch::zeros_like(parameter);
        parameter.mul_(1 - options.lr * options.weight_decay);
        parameter.sub_(momentum.lerp(parameter.grad(), 1 - beta1).sign_(), options.lr);
        momentum.lerp_(parameter.grad(), 1 - beta2);
      }
    }
    return {};
  }
};

template <>
struct muster::OptimizerTraits<Lion> {
  using Options = LionOptions;
  using ParamState = LionParamState;
  static std::string name() { return "Lion"; }
  static void visit_slots(auto& state, auto&& visit) { visit(Slot{"momentum"}, state.momentum); }
  static void visit_options(auto& options, auto&& visit) {
    visit("lr", options.lr);
    visit("betas", options.betas);
    visit("weight_decay", options.weight_decay);
  }
};

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);

  torch::manual_seed(1);  // all ranks hold the same model
  torch::nn::Sequential model(torch::nn::Linear(2, 32), torch::nn::Tanh(), torch::nn::Linear(32, 1));
  Lion optimizer(model->parameters(), LionOptions());
  torch::manual_seed(1000 + rank);  // each rank draws its own samples

  nlohmann::json position = {{"step", 0}};
  muster::TrainingState state;
  state.add_model(model);
  state.add_optimizer(optimizer);
  state.add_document("position", position);
  state.add_rng();
  {
    muster::Checkpointer checkpoints(MPI_COMM_WORLD, "custom_optimizer-ckpts");
    if (checkpoints.latest_tag()) checkpoints.load(state);
    for (int step = position["step"].get<int>() + 1; step <= 1000; ++step) {
      const auto input = torch::rand({32, 2});
      const auto loss = torch::mse_loss(model->forward(input), input.prod(1, true));
      optimizer.zero_grad();
      loss.backward();
      for (auto& parameter : model->parameters()) {  // data parallel: the mean of the gradients of all ranks
        auto gradient = parameter.grad();
        MPI_Allreduce(MPI_IN_PLACE, gradient.data_ptr(), static_cast<int>(gradient.numel()), MPI_FLOAT, MPI_SUM,
                      MPI_COMM_WORLD);
        gradient.div_(ranks);
      }
      optimizer.step();
      if (step % 100 != 0) continue;
      if (rank == 0) std::cout << "step " << step << ": loss " << loss.item<float>() << std::endl;
      position["step"] = step;
      checkpoints.save(state, {.tag = "step_" + std::to_string(step)});
    }
  }
  MPI_Finalize();
}
