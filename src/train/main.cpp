// muster-train: a small GPT trained on a grid of ranks, as an example and a proof of muster.

#include <dlfcn.h>
#include <mpi.h>
#include <torch/torch.h>

#include <cstdio>
#include <cstdlib>
#include <muster/checkpoint.hpp>
#include <muster/error.hpp>
#include <muster/version.hpp>
#include <string>

#include "mpi/check.hpp"
#include "mpi/comm.hpp"
#include "train/collectives.hpp"
#include "train/failure.hpp"
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

int print_from_0(const mpi::CommView& comm, const std::string& text) {
  if (comm.rank() == 0) std::fputs(text.c_str(), stdout);
  return kExitDone;
}

int train(const mpi::CommView& comm, int argc, char** argv) {
  CommandLine line;
  together(comm, [&] { line = parse_command_line(argc, argv); });
  std::string arguments;
  for (int i = 1; i < argc; ++i) arguments.append(argv[i]).push_back('\0');
  require_same(comm, arguments, "options");
  if (line.action == CommandLine::Action::show_help) return print_from_0(comm, help_text());
  if (line.action == CommandLine::Action::show_version) {
    return print_from_0(comm, std::string("muster-train ") + kVersion + '\n');
  }
  make_reproducible();
  const Ranks ranks(comm, grid_of(line.options));
  const auto text = Text::read(comm, line.options.text, line.options.context);
  Trainer trainer(ranks, line.options, text);
  const bool is_done = trainer.run();
  finalize_checkpoint(comm.handle());
  if (is_done) return kExitDone;
  if (line.options.requeue) trainer.requeue();
  return kExitStopped;
}

void print_error(const std::string& message) { std::fprintf(stderr, "muster-train: %s\n", message.c_str()); }

// Runs the program on a communicator of its own. What all ranks know to have failed is told by rank 0, and all leave
// in good order; what only this rank knows ends the job, for the others may wait for it.
int run(int argc, char** argv) {
  const auto owner = mpi::Comm::duplicate(MPI_COMM_WORLD);
  const auto comm = owner.view(kTimeoutS);
  const auto leave = [&comm](const Error& error) {
    if (comm.rank() == 0) {
      const bool asks_for_help = error.kind() == ErrorKind::usage;
      print_error(error.what() + std::string(asks_for_help ? " (see muster-train --help)" : ""));
    }
    return exit_code(error.kind());
  };
  try {
    return train(comm, argc, argv);
  } catch (const AgreedError& error) {
    return leave(error);
  } catch (const CollectiveError& error) {
    return leave(error);
  } catch (...) {
    const auto failure = current_failure();
    print_error("rank " + std::to_string(comm.rank()) + ": " + failure.message);
    MPI_Abort(MPI_COMM_WORLD, exit_code(failure.kind));
    std::abort();  // not reached
  }
}

}  // namespace
}  // namespace muster::train

int main(int argc, char** argv) {
  // Whoever follows the output in a file sees each line as it is printed, with a launcher or without.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
    std::fputs("muster-train: MPI does not start\n", stderr);
    return muster::train::kExitOther;
  }
  int status = muster::train::kExitOther;
  try {
    status = muster::train::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "muster-train: %s\n", error.what());
  }
  MPI_Finalize();
  return status;
}
