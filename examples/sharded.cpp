// Trains an embedding table of which each rank holds some rows. A checkpoint contains the whole table, so a job of any
// number of ranks saves it, and a job of any other number of ranks loads it.
//
//     mpirun -n 2 sharded
//     mpirun -n 3 sharded    # after the first one was killed: continues, with the rows of 3 ranks
//
// One rule states which parameter is cut. The state of the optimizer is cut like the parameters.

#include <mpi.h>
#include <torch/torch.h>

#include <cstdint>
#include <iostream>
#include <muster/sharding.hpp>
#include <muster/torch.hpp>
#include <string>

constexpr std::int64_t kWords = 1001;  // need not be a multiple of the number of ranks
constexpr std::int64_t kWidth = 32;

struct Model : torch::nn::Module {
  explicit Model(const torch::Tensor& rows) : table(register_parameter("table", rows)) {}
  torch::Tensor table;                                                             // this rank's rows
  torch::nn::Linear head = register_module("head", torch::nn::Linear(kWidth, 1));  // the same on all ranks
};

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const MPI_Comm comm = MPI_COMM_WORLD;
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);

  torch::manual_seed(1);
  const auto own = muster::chunk(kWords, rank, ranks);
  const auto first = static_cast<std::int64_t>(own.first);
  const auto count = static_cast<std::int64_t>(own.count);
  const auto model = std::make_shared<Model>(torch::randn({kWords, kWidth}).narrow(0, first, count).clone());
  torch::optim::AdamW optimizer(model->parameters(), torch::optim::AdamWOptions(0.01));
  const muster::Parallelism parallel{.grid = {.tensor = ranks},
                                     .rules = {muster::vocabulary_parallel("table", kWords)}};

  std::int64_t step = 0;
  if (muster::has_checkpoint(comm, "sharded-ckpts")) {
    const auto user_content =
        muster::load_checkpoint(comm, "sharded-ckpts", {.model = model, .optimizer = optimizer, .parallel = parallel});
    step = user_content->at("step").get<std::int64_t>();
  }
  for (++step; step <= 1000; ++step) {
    torch::manual_seed(static_cast<std::uint64_t>(step));  // all ranks draw the same words
    const auto words = torch::randint(kWords, {64}, torch::kInt64);
    const auto is_own = words.ge(first).logical_and(words.lt(first + count));
    const auto found = model->table.index_select(0, (words - first) * is_own) * is_own.unsqueeze(1);
    auto embedded = found.detach().clone();  // zero for the words of other ranks, so the sum has all words
    MPI_Allreduce(MPI_IN_PLACE, embedded.data_ptr(), static_cast<int>(embedded.numel()), MPI_FLOAT, MPI_SUM, comm);
    const auto loss =
        torch::mse_loss(model->head(embedded.requires_grad_()), words.to(torch::kFloat32).sin().unsqueeze(1));
    optimizer.zero_grad();
    loss.backward();
    found.backward(embedded.grad());
    optimizer.step();
    if (step % 100 == 0) {
      if (rank == 0) std::cout << "step " << step << ": loss " << loss.item<float>() << std::endl;
      muster::save_checkpoint(comm, "sharded-ckpts",
                              {.tag = "step_" + std::to_string(step),
                               .model = model,
                               .optimizer = optimizer,
                               .user_content = {{"step", step}},
                               .parallel = parallel});
    }
  }
  MPI_Finalize();
}
