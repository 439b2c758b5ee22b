// muster-train: a small GPT trained on a grid of ranks, as an example and a proof of muster.

#include <dlfcn.h>
#include <torch/torch.h>

#include <cstdio>
#include <muster/checkpoint.hpp>
#include <optional>
#include <string>

#include "program/exit_code.hpp"
#include "program/run.hpp"
#include "train/collectives.hpp"
#include "train/options.hpp"
#include "train/ranks.hpp"
#include "train/text.hpp"
#include "train/trainer.hpp"

namespace muster::train {
namespace {

constexpr double kTimeoutS = 1800;  // for ranks to wait for each other, as muster's default

// One thread a rank, and no operation whose result depends on timing.
void make_reproducible() {
  at::set_num_threads(1);
  // OpenBLAS, if Torch runs on its build with threads of its own, does not listen to the above.
  using SetThreads = void (*)(int);
  if (void* symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads"); symbol != nullptr) {
    reinterpret_cast<SetThreads>(symbol)(1);
  }
  at::globalContext().setDeterministicAlgorithms(true, false);
}

int train(const mpi::CommView& comm, const program::Arguments& arguments) {
  std::optional<Options> options;
  together(comm, [&] { options = parse_command_line(arguments); });
  std::string joined;
  for (const auto& argument : arguments) joined.append(argument).push_back('\0');
  require_same(comm, joined, "options");
  if (!options) return program::kFine;
  make_reproducible();
  const Ranks ranks(comm, grid_of(*options));
  const auto text = Text::read(comm, options->text, options->context);
  Trainer trainer(ranks, *options, text);
  const bool is_done = trainer.run();
  trainer.finalize();
  if (is_done) return program::kFine;
  if (options->requeue) trainer.requeue();
  return program::kStopped;
}

}  // namespace
}  // namespace muster::train

int main(int argc, char** argv) {
  using namespace muster;
  // Whoever follows the output in a file sees each line as it is printed, with a launcher or without.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  return program::run_program([&] {
    return program::run_on_ranks(train::kTimeoutS, [&](const mpi::CommView& comm) {
      int code = 0;
      train::without_backtraces([&] { code = train::train(comm, {argv + 1, argv + argc}); });
      return code;
    });
  });
}
