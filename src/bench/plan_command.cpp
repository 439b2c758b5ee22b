// muster-bench plan

#include <fmt/format.h>

#include <boost/program_options.hpp>

#include "base/clock.hpp"
#include "bench/options.hpp"
#include "bench/plan_scale.hpp"
#include "bench/report.hpp"
#include "model/grid_text.hpp"

namespace muster::bench {

namespace {

namespace po = boost::program_options;

constexpr const char* kPlanHelp = R"(usage: muster-bench plan [options]

Plans the save of a large job, and the load of its file by the same ranks, without that job: describes what its ranks
would hold, decides who writes and reads what, and lays the file out, as every rank does in its first save and whenever
its state changes. Uses neither MPI nor a disk.

  muster-bench plan --ranks 16384 --tensors 3000 --grid tp=8,pp=16,dp=128 --held zero1
  muster-bench plan --ranks 1024 --grid pp=8 --rounds 5 --json plan.json
)";

struct PlanOptions {
  PlanScaleOptions scale{.ranks = 16384, .tensors = 3000};
  int rounds = 3;
  std::string held = "replicated";
  std::string json_file;
};

std::optional<PlanOptions> parse_plan(const Arguments& arguments) {
  PlanOptions options;
  std::string grid;
  program::CommandLine line(kPlanHelp);
  line.add()                                                                               //
      ("ranks", program::value(options.scale.ranks, "N"), "the ranks of the job")          //
      ("tensors", program::value(options.scale.tensors, "N"), "the tensors of its state")  //
      ("grid", po::value(&grid)->value_name("tp=T,pp=P,dp=D"),
       "the degrees of parallelism, also ep and cp; dp is what is left")  //
      ("held", program::value(options.held, "H"),
       "replicated: no optimizer state; zero1: two optimizer tensors for every tensor, of which each data parallel "
       "rank "
       "has one range of the rows of all; chunks: each rank has a range of the rows of every tensor")  //
      ("rounds", program::value(options.rounds, "N"), "how often to plan; the median counts")          //
      ("json", po::value(&options.json_file)->value_name("FILE"), "write the result to FILE");
  if (!line.parse(arguments)) return std::nullopt;
  constexpr int kMany = 10'000'000;
  program::require_between("--ranks", options.scale.ranks, 1, kMany);
  program::require_between("--tensors", static_cast<std::int64_t>(options.scale.tensors), 1, kMany);
  program::require_between("--rounds", options.rounds, 1, kMany);
  program::require_place_for("--json", options.json_file);
  options.scale.held = program::named<HeldMoments>(
      "--held", options.held,
      {{"replicated", HeldMoments::replicated}, {"zero1", HeldMoments::zero1}, {"chunks", HeldMoments::chunks}});
  options.scale.grid = program::as_usage("--grid", [&] { return resolve(parse_grid(grid), options.scale.ranks); });
  return options;
}

// A number as its name says what it is.
std::string number_text(const std::string& name, const nlohmann::json& value) {
  if (name.ends_with("_bytes")) return program::human_bytes(value.get<std::uint64_t>());
  return value.is_number_integer() ? value.dump() : fmt::format("{:.3f}", value.get<double>());
}

// The median over the rounds of the plan and its steps, and the other numbers of the last one.
void print_plan(const std::string& of, const std::vector<nlohmann::json>& samples) {
  program::TextTable table({of, "MEDIAN ms", "[MIN..MAX]"}, {1});
  const auto add = [&](const std::string& name, const nlohmann::json::json_pointer& place) {
    std::vector<double> ms;
    ms.reserve(samples.size());
    for (const auto& sample : samples) ms.push_back(sample.at(place).get<double>() * 1000);
    const auto spread = spread_of(ms);
    table.add({name, fmt::format("{:.1f}", spread.median), fmt::format("[{:.1f}..{:.1f}]", spread.min, spread.max)});
  };
  const auto place = nlohmann::json::json_pointer() / of;
  add("plan", place / "plan_s");
  const auto& last = samples.back().at(of);
  for (const auto& [step, seconds] : last.at("steps_s").items()) add("  " + step, place / "steps_s" / step);
  table.print();
  for (const auto& [name, value] : last.items()) {
    if (value.is_number() && name != "plan_s") fmt::print("  {}: {}\n", name, number_text(name, value));
  }
  fmt::print("\n");
}

}  // namespace

int plan(const Arguments& arguments) {
  const auto options = parse_plan(arguments);
  if (!options || program::own_rank() != 0) return kFine;
  const auto& scale = options->scale;
  const auto started_at = utc_now();
  std::vector<nlohmann::json> samples;
  for (int round = 0; round < options->rounds; ++round) {
    samples.push_back(measure_plan(scale).to_json());
    fmt::print(stderr, "round {} of {}\n", round + 1, options->rounds);
  }
  fmt::print("plans of {} ranks ({}, {}), {} tensors, {} rounds\n\n", scale.ranks, to_string(scale.grid), options->held,
             scale.tensors, options->rounds);
  print_plan("save", samples);
  print_plan("load", samples);
  write_json(options->json_file, {{"format", 2},
                                  {"command", "plan"},
                                  {"command_line", arguments},
                                  {"started_at", started_at},
                                  {"ranks", scale.ranks},
                                  {"tensors", scale.tensors},
                                  {"grid", to_string(scale.grid)},
                                  {"held", options->held},
                                  {"samples", samples}});
  return kFine;
}

}  // namespace muster::bench
