// muster-bench policy

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <muster/policy.hpp>

#include "base/clock.hpp"
#include "bench/options.hpp"
#include "bench/report.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"

namespace muster::bench {

namespace {

namespace po = boost::program_options;

constexpr const char* kPolicyHelp = R"(usage: mpirun -n RANKS muster-bench policy [options]

Measures what SavePolicy::should_save costs a training loop. Each round runs the same steps without the call and with the
call after every step, in alternating order. A step is some work on each rank and an allreduce of one number.

  mpirun -n 4 muster-bench policy --steps 2000 --work-us 1000 --rounds 9
)";

struct PolicyOptions {
  int steps = 2000;
  int work_us = 1000;
  int rounds = 9;
  std::string json_file;
};

std::optional<PolicyOptions> parse_policy(const Arguments& arguments) {
  PolicyOptions options;
  program::CommandLine line(kPolicyHelp);
  line.add()                                                                                                 //
      ("steps", program::value(options.steps, "N"), "the steps of each loop")                                //
      ("work-us", program::value(options.work_us, "N"), "the work of a step on each rank, in microseconds")  //
      ("rounds", program::value(options.rounds, "N"), "rounds, after one that does not count")               //
      ("json", po::value(&options.json_file)->value_name("FILE"), "write the result to FILE");
  if (!line.parse(arguments)) return std::nullopt;
  constexpr int kMany = 1'000'000'000;
  program::require_between("--steps", options.steps, 1, kMany);
  program::require_between("--work-us", options.work_us, 0, kMany);
  program::require_between("--rounds", options.rounds, 1, kMany);
  return options;
}

// Processor time, not time that passes: ranks that share a core do not work at once.
void work(int microseconds) {
  const auto cpu_ns = [] {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1'000'000'000L + time.tv_nsec;
  };
  const auto end = cpu_ns() + microseconds * 1000L;
  while (cpu_ns() < end) {
  }
}

struct Cost {
  double step_us = 0;  // of the loop, by the step
  double call_us = 0;  // the median of what a call of should_save took on this rank
};

class Loops {
 public:
  Loops(const mpi::CommView& comm, const PolicyOptions& options)
      : comm_(comm),
        options_(options),
        policy_(comm.handle(), {.every_steps = 1'000'000'000, .before_job_end = false}) {}

  Cost run(bool asks) {
    std::vector<double> calls_us;
    calls_us.reserve(static_cast<std::size_t>(options_.steps));
    comm_.barrier();
    const Stopwatch watch;
    for (int i = 0; i < options_.steps; ++i) {
      work(options_.work_us);
      double loss = 1;
      mpi::check(MPI_Allreduce(MPI_IN_PLACE, &loss, 1, MPI_DOUBLE, MPI_SUM, comm_.handle()), "MPI_Allreduce");
      if (!asks) continue;
      const Stopwatch call;
      policy_.should_save(++step_);
      calls_us.push_back(call.seconds() * 1e6);
    }
    comm_.barrier();
    return {.step_us = watch.seconds() * 1e6 / options_.steps, .call_us = asks ? median(calls_us) : 0};
  }

 private:
  const mpi::CommView& comm_;
  const PolicyOptions& options_;
  SavePolicy policy_;
  std::int64_t step_ = 0;
};

int measure(const mpi::CommView& comm, const Arguments& arguments, const PolicyOptions& options) {
  const auto started_at = utc_now();
  mpi::run_on_root(comm, "prepare", [&] { program::require_place_for("--json", options.json_file); });
  Loops loops(comm, options);
  std::vector<double> plain_us;
  std::vector<double> added_us;
  std::vector<double> call_us;
  for (int round = 0; round <= options.rounds; ++round) {
    const bool asks_first = round % 2 == 1;
    const auto first = loops.run(asks_first);
    const auto second = loops.run(!asks_first);
    const auto& plain = asks_first ? second : first;
    const auto& asking = asks_first ? first : second;
    if (round == 0) continue;
    plain_us.push_back(plain.step_us);
    added_us.push_back(asking.step_us - plain.step_us);
    call_us.push_back(asking.call_us);
  }
  if (comm.rank() != 0) return kFine;
  program::TextTable table({"OF A STEP", "MEDIAN us", "[MIN..MAX]"}, {1, 2});
  nlohmann::json json{{"format", 1},
                      {"command", "policy"},
                      {"command_line", arguments},
                      {"ranks", comm.size()},
                      {"started_at", started_at}};
  const auto add = [&](const char* what, const char* key, const std::vector<double>& values) {
    const auto spread = spread_of(values);
    table.add({what, fmt::format("{:.1f}", spread.median), fmt::format("[{:.1f}..{:.1f}]", spread.min, spread.max)});
    json[key] = spread_json(spread);
  };
  add("without asking", "plain_us", plain_us);
  add("more with should_save", "added_us", added_us);
  add("median call of rank 0", "call_us", call_us);
  fmt::print("should_save after each of {} steps, {} ranks, {} us of work a step, {} rounds\n\n", options.steps,
             comm.size(), options.work_us, options.rounds);
  table.print();
  write_json(options.json_file, json);
  return kFine;
}

}  // namespace

int policy(const Arguments& arguments) {
  const auto options = parse_policy(arguments);
  if (!options) return kFine;
  return program::run_on_ranks(kTimeoutS,
                               [&](const mpi::CommView& comm) { return measure(comm, arguments, *options); });
}

}  // namespace muster::bench
