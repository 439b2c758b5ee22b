// A program to be killed: resumes from the newest checkpoint, then saves for ever. kill_random.py drives it.
//   save_loop DIR PUBLISHED [TIMEOUT_S]
// PUBLISHED gets a line for each tag that save() returned from. With MUSTER_SAVE_LOOP=async saves go on in the
// background, two at once, while the next state is computed. Prints "pids N N ..." when it starts; PUBLISHED.errors
// gets a line of each rank on which a save fails. Exit code 3: what was loaded is not what was saved; 4: a save failed.

#include <fcntl.h>
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <muster/muster.hpp>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kValues = 300000;
constexpr std::size_t kTensors = 3;

// Every value of a checkpoint follows from its step.
struct Job {
  std::vector<std::vector<std::int32_t>> tensors{kTensors, std::vector<std::int32_t>(kValues)};

  muster::State state() {
    muster::State state;
    for (std::size_t i = 0; i < kTensors; ++i) {
      state.add_mutable("/model/t" + std::to_string(i), muster::DType::int32, {kValues}, tensors[i].data());
    }
    return state;
  }
  void fill(std::int64_t step) {
    for (auto& tensor : tensors) {
      for (std::size_t i = 0; i < kValues; ++i) tensor[i] = static_cast<std::int32_t>(step + static_cast<int>(i));
    }
  }
};

void tell_pids(int rank, int size) {
  const int pid = static_cast<int>(getpid());
  std::vector<int> pids(static_cast<std::size_t>(size));
  MPI_Gather(&pid, 1, MPI_INT, pids.data(), 1, MPI_INT, 0, MPI_COMM_WORLD);
  if (rank != 0) return;
  std::string line = "pids";
  for (const int other : pids) line += " " + std::to_string(other);
  std::puts(line.c_str());
  std::fflush(stdout);
}

// The step of the newest checkpoint, loaded and compared; 0 where there is none.
std::int64_t resume(muster::Checkpointer& checkpointer, Job& job) {
  if (!checkpointer.latest_tag()) return 0;
  muster::LoadTarget target;
  target.state = job.state();
  target.sections = {"model"};
  const auto report = checkpointer.load({}, target);
  Job expected;
  const auto step = report.contents.step.value_or(-1);
  expected.fill(step);
  if (job.tensors != expected.tensors || report.user_content != nlohmann::json(step)) {
    std::fprintf(stderr, "tag %s does not hold what was saved\n", report.contents.tag.c_str());
    MPI_Abort(MPI_COMM_WORLD, 3);
  }
  return step;
}

void save_for_ever(const std::string& directory, const std::string& published, double timeout_s, int rank) {
  muster::Checkpointer checkpointer(MPI_COMM_WORLD, directory, {.retention = {.newest = 3}, .timeout_s = timeout_s});
  Job job;
  const char* mode = std::getenv("MUSTER_SAVE_LOOP");
  const bool in_background = mode != nullptr && std::string(mode) == "async";
  muster::SaveHandle before;
  const int log = rank == 0 ? open(published.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
  for (auto step = resume(checkpointer, job) + 1;; ++step) {
    job.fill(step);
    const auto tag = "step_" + std::to_string(step);
    const muster::SaveOptions options{.tag = tag, .user_content = step};
    std::string saved = tag;
    if (in_background) {
      auto in_pairs = options;
      in_pairs.async.max_in_flight = 2;
      auto handle = checkpointer.save_async(job.state(), in_pairs);
      job.fill(step + 1);
      std::swap(handle, before);
      if (handle.skipped()) continue;
      saved = handle.wait().tag;
    } else {
      checkpointer.save(job.state(), options);
    }
    if (rank != 0) continue;
    const auto line = saved + "\n";
    if (write(log, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  tell_pids(rank, size);
  try {
    save_for_ever(argv[1], argv[2], argc > 3 ? std::atof(argv[3]) : 60, rank);
  } catch (const muster::Error& error) {
    // Into a file: what a rank prints last before it aborts, MPICH's launcher may not pass on any more.
    const auto line =
        "rank " + std::to_string(rank) + ": " + std::string(name(error.kind())) + ": " + error.what() + "\n";
    const int log = open((std::string(argv[2]) + ".errors").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (write(log, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
    MPI_Abort(MPI_COMM_WORLD, 4);
  }
}
