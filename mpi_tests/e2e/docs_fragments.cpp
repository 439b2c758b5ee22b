// The C++ that pages show and no example has. docs_example.py compares the pages with this source, and a test runs it.
// Usage: docs_fragments (on any number of ranks; saves below the current directory)

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <muster/muster.hpp>
#include <muster/torch.hpp>
#include <string>
#include <vector>

namespace {

const MPI_Comm comm = MPI_COMM_WORLD;  // NOLINT: named as the pages name it

struct Training {
  torch::nn::Linear model{8, 1};
  torch::optim::AdamW optimizer{model->parameters(), torch::optim::AdamWOptions(0.01)};
  torch::optim::StepLR scheduler{optimizer, 10, 0.5};
};

void require(bool holds, const char* what) {
  if (holds) return;
  std::cerr << "FAILED: " << what << '\n';
  std::exit(1);
}

// Every fragment saves to the same directory.
void remove_checkpoints() {
  muster::finalize_checkpoint(comm);
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  if (rank == 0) std::filesystem::remove_all("ckpts");
  MPI_Barrier(comm);
}

// README.md
void save_and_load(Training& training) {
  auto& [model, optimizer, scheduler] = training;
  muster::save_checkpoint(comm, "ckpts",
                          {.tag = "step_100",
                           .model = model,
                           .optimizer = optimizer,
                           .scheduler = scheduler,
                           .user_content = {{"total_steps", 100}, {"batch_idx", 7}},
                           .num_kept_ckpts = 5});

  auto user_content =
      muster::load_checkpoint(comm, "ckpts", {.model = model, .optimizer = optimizer, .scheduler = scheduler});
  require(user_content->at("batch_idx") == 7, "user content of README.md");
}

// docs/guide/migrating.md
void instead_of_torch_save(Training& training) {
  auto& [model, optimizer, scheduler] = training;
  const int step = 200;
  const int epoch = 3;
  muster::save_checkpoint(comm, "ckpts",
                          {.tag = "step_" + std::to_string(step),
                           .model = model,
                           .optimizer = optimizer,
                           .user_content = {{"epoch", epoch}}});
}

// docs/guide/migrating.md
void instead_of_neuronx_distributed(Training& training) {
  auto& [model, optimizer, scheduler] = training;
  muster::save_checkpoint(comm, "ckpts",
                          {.tag = "step_100",
                           .model = model,
                           .optimizer = optimizer,
                           .scheduler = scheduler,
                           .user_content = {{"total_steps", 100}},
                           .async_save = true,
                           .num_kept_ckpts = 5,
                           .num_workers = 8});
  auto user_content =
      muster::load_checkpoint(comm, "ckpts", {.model = model, .optimizer = optimizer, .scheduler = scheduler});
  require(user_content->at("total_steps") == 100, "user content of docs/guide/migrating.md");
}

// docs/guide/background-saves.md
void save_in_background(Training& training) {
  auto& [model, optimizer, scheduler] = training;
  muster::save_checkpoint(comm, "ckpts",
                          {.tag = "step_100", .model = model, .optimizer = optimizer, .async_save = true});
  // The state may change now. Training goes on while the checkpoint is written.

  // At the end of the program, on all ranks:
  muster::finalize_checkpoint(comm);  // waits for saves in flight, throws their failures
}

// docs/guide/slurm.md
void save_by_policy(Training& training) {
  auto& [model, optimizer, scheduler] = training;
  const char* dir = "ckpts";
  std::int64_t step = 0;
  const std::int64_t first = 1;
  const std::int64_t last = 10;
  const auto train = [](std::int64_t) {};
  const auto args_of = [&](std::int64_t at) {
    return muster::SaveArgs{.tag = "step_" + std::to_string(at), .model = model, .optimizer = optimizer};
  };
  muster::SavePolicy policy(comm, {.every_steps = 1000, .every_minutes = 30});
  for (step = first; step <= last; ++step) {
    train(step);
    if (policy.should_save(step)) policy.note_save(muster::save_checkpoint(comm, dir, args_of(step)));
    if (policy.should_stop()) break;
  }
  if (policy.should_stop()) policy.requeue();
}

// docs/guide/samples.md
void take_samples(Training& training) {
  auto& [model, optimizer, scheduler] = training;
  std::vector<std::uint64_t> taken;
  const auto train = [&](const std::vector<std::uint64_t>& indices) {
    taken.insert(taken.end(), indices.begin(), indices.end());
  };
  const std::uint64_t dataset_size = 100;
  const std::uint64_t batch = 32;
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  for (const std::uint64_t last : {4U, 6U}) {  // two starts of a job
    std::uint64_t step = 0;
    muster::SampleStream stream({.length = dataset_size, .seed = 7});
    if (muster::has_checkpoint(comm, "ckpts")) {
      const auto user_content = muster::load_checkpoint(comm, "ckpts", {.model = model, .optimizer = optimizer});
      step = user_content->at("step");
      stream.load_state(user_content->at("samples"));
    }
    while (step < last) {
      train(stream.samples_of_rank(batch, rank, ranks));  // indices into the dataset
      stream.advance(batch);                              // the samples of all ranks
      ++step;
      muster::save_checkpoint(comm, "ckpts",
                              {.tag = "step_" + std::to_string(step),
                               .model = model,
                               .optimizer = optimizer,
                               .user_content = {{"step", step}, {"samples", stream.state()}}});
    }
    require(stream.epoch() == last * batch / dataset_size && stream.position() == last * batch % dataset_size,
            "position of docs/guide/samples.md");
  }
  muster::SampleStream uninterrupted({.length = dataset_size, .seed = 7});
  std::vector<std::uint64_t> expected;
  for (int step = 0; step < 6; ++step, uninterrupted.advance(batch)) {
    const auto indices = uninterrupted.samples_of_rank(batch, rank, ranks);
    expected.insert(expected.end(), indices.begin(), indices.end());
  }
  require(taken == expected, "samples of docs/guide/samples.md");
}

// docs/guide/sharding.md
void add_shards(int rank, int world_size) {
  const std::uint64_t ffn = 64;
  const std::uint64_t hidden = 16;
  const std::vector<std::uint16_t> weight(ffn * hidden / 4);
  const auto* data = weight.data();
  muster::ParallelGrid grid({.tensor = 4, .pipeline = 2}, world_size);  // the data degree is what is left of the ranks
  const int tp_rank = grid.coordinate(rank, muster::Axis::tensor);
  muster::State state;
  state.add("/model/fc1.weight", muster::DType::bfloat16, {ffn, hidden}, data,
            muster::split({ffn, hidden}, 0, tp_rank, 4));
  require(muster::to_string(state.tensors()[0].description.shard) == "block [32, 48) x [0, 16)",
          "docs/guide/sharding.md");
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  remove_checkpoints();  // of an earlier run
  for (const auto fragment : {save_and_load, instead_of_torch_save, instead_of_neuronx_distributed, save_in_background,
                              save_by_policy, take_samples}) {
    Training training;
    fragment(training);
    remove_checkpoints();
  }
  add_shards(6, 16);
  MPI_Finalize();
}
