// Saves and resumes a module with its optimizer and scheduler. Usage: with_torch DIRECTORY

#include <cstdio>
#include <muster/torch.hpp>

namespace {

struct Training {
  torch::nn::Linear model{8, 4};
  torch::optim::AdamW optimizer{model->parameters(), torch::optim::AdamWOptions(0.01)};
  std::unique_ptr<torch::optim::StepLR> scheduler = std::make_unique<torch::optim::StepLR>(optimizer, 2, 0.5);

  void step() {
    optimizer.zero_grad();
    model->forward(torch::ones({3, 8})).pow(2).sum().backward();
    optimizer.step();
    scheduler->step();
  }
};

bool run(const char* directory) {
  torch::manual_seed(7);
  Training first;
  first.step();
  muster::save_checkpoint(MPI_COMM_WORLD, directory,
                          {.tag = "step_100",
                           .model = first.model,
                           .optimizer = first.optimizer,
                           .scheduler = first.scheduler,
                           .user_content = {{"total_steps", 100}, {"batch_idx", 7}},
                           .num_kept_ckpts = 5});
  torch::manual_seed(8);
  Training second;
  const auto user_content = muster::load_checkpoint(
      MPI_COMM_WORLD, directory, {.model = second.model, .optimizer = second.optimizer, .scheduler = second.scheduler});
  for (int i = 0; i < 3; ++i) {
    first.step();
    second.step();
  }
  return torch::equal(first.model->weight, second.model->weight) && user_content && user_content->at("batch_idx") == 7;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const bool same = argc == 2 && run(argv[1]);
  std::puts(same ? "same" : "different");
  MPI_Finalize();
  return same ? 0 : 1;
}
