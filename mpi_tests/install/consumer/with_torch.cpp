// Saves and resumes a module with its optimizer and scheduler. Usage: with_torch DIRECTORY

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <muster/torch.hpp>
#include <string>

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

// LibTorch's CUDA part registers itself when it is loaded. No name of it is needed here, and yet it must be loaded
// where this LibTorch has one.
bool has_loaded_cuda_part() {
  namespace fs = std::filesystem;
  fs::path folder;
  bool is_loaded = false;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.find('/');
    if (slash == std::string::npos) continue;
    const fs::path file = line.substr(slash);
    if (file.filename().string().starts_with("libtorch_cpu.so")) folder = file.parent_path();
    if (file.filename().string().starts_with("libtorch_cuda.so")) is_loaded = true;
  }
  const bool is_there = fs::exists(folder / "libtorch_cuda.so");
  // With the fmt that other libraries here are built with, whatever LibTorch has beside its headers.
  std::puts(fmt::format("LibTorch of {}: its CUDA part is {}, and {}", folder.string(),
                        is_there ? "there" : "not there", is_loaded ? "loaded" : "not loaded")
                .c_str());
  return !folder.empty() && is_there == is_loaded;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const bool same = argc == 2 && has_loaded_cuda_part() && run(argv[1]);
  std::puts(same ? "same" : "different");
  MPI_Finalize();
  return same ? 0 : 1;
}
