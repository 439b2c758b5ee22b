// muster-bench plan

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <muster/error.hpp>
#include <sstream>

#include "base/clock.hpp"
#include "bench/command.hpp"
#include "bench/command_line.hpp"
#include "bench/exit_code.hpp"
#include "bench/launched_rank.hpp"
#include "bench/plan_scale.hpp"
#include "bench/report.hpp"
#include "bench/statistics.hpp"
#include "cli/text.hpp"
#include "model/grid_text.hpp"

namespace muster::bench {

namespace {

namespace po = boost::program_options;

constexpr const char* kPlanHelp = R"(usage: muster-bench plan [options]

Plans the save of a large job without that job: describes what its ranks would hold, decides who writes what, and lays
the file out, as every rank does in its first save and whenever its state changes. Then plans the load of that file, by
the same ranks or by others in another grid, as every rank of them does. No MPI, no disk.

  muster-bench plan --ranks 16384 --tensors 3000 --grid tp=8,pp=16,dp=128 --held zero1
  muster-bench plan --ranks 1024 --grid tp=8,pp=8 --held zero1 --load-ranks 512,1024,2048,4096 --load-grid tp=4,pp=16
  muster-bench plan --ranks 1024 --grid pp=8 --rounds 5 --json plan.json
)";

struct PlanOptions {
  PlanScaleOptions scale{.ranks = 16384, .tensors = 3000};
  int rounds = 3;
  std::string held = "replicated";
  std::string json_file;
};

int positive_number(const std::string& text, const std::string& of) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) {
    throw UsageError(fmt::format("{} is '{}', and must be a number from 1 up", of, text));
  }
  return number;
}

Grid grid_of(const std::string& option, const std::string& text, int ranks) {
  try {
    return resolve(parse_grid(text), ranks);
  } catch (const Error& error) {
    throw UsageError(option + ": " + error.what());
  }
}

// "512,1024,2048".
void take_loads(PlanScaleOptions& scale, const std::string& ranks, const std::string& grid) {
  std::istringstream items(ranks);
  for (std::string item; std::getline(items, item, ',');) {
    const auto number = positive_number(item, "--load-ranks");
    scale.loads.push_back({number, grid_of("--load-grid", grid, number)});
  }
  if (scale.loads.empty() && !grid.empty()) throw UsageError("--load-grid goes with --load-ranks");
}

HeldMoments held_of(const std::string& word) {
  if (word == "replicated") return HeldMoments::replicated;
  if (word == "zero1") return HeldMoments::zero1;
  if (word == "chunks") return HeldMoments::chunks;
  throw UsageError("--held is '" + word + "', and must be replicated, zero1 or chunks");
}

std::optional<PlanOptions> parse_plan(const Arguments& arguments) {
  PlanOptions options;
  std::string grid;
  std::string load_ranks;
  std::string load_grid;
  po::options_description described("options", 118);
  described.add_options()                                                                                   //
      ("ranks", po::value(&options.scale.ranks)->default_value(options.scale.ranks), "of the job")          //
      ("tensors", po::value(&options.scale.tensors)->default_value(options.scale.tensors), "of its state")  //
      ("grid", po::value(&grid)->value_name("tp=T,pp=P,dp=D"),
       "degrees of parallelism, of ep and cp too; dp is what is left")  //
      ("held", po::value(&options.held)->default_value(options.held),
       "replicated: no moments; zero1: two of every tensor, each data parallel rank with one range of the rows of all; "
       "chunks: each with a chunk of the rows of every tensor")  //
      ("load-ranks", po::value(&load_ranks)->value_name("N,..."),
       "of the jobs that load; that which saved if none is given")                                               //
      ("load-grid", po::value(&load_grid)->value_name("tp=T,pp=P"), "of each of them; dp is what is left")       //
      ("rounds", po::value(&options.rounds)->default_value(options.rounds), "times to plan; the median counts")  //
      ("json", po::value(&options.json_file)->value_name("FILE"), "write the result to FILE")                    //
      ("help,h", "this page");
  if (!read_options(arguments, described, kPlanHelp)) return std::nullopt;
  if (options.scale.ranks < 1)
    throw UsageError(fmt::format("--ranks is {}, and must be 1 or more", options.scale.ranks));
  if (options.scale.tensors < 1 || options.scale.tensors > 10'000'000) {
    throw UsageError(fmt::format("--tensors is {}, and must be from 1 to 10000000", options.scale.tensors));
  }
  if (options.rounds < 1) throw UsageError(fmt::format("--rounds is {}, and must be 1 or more", options.rounds));
  options.scale.held = held_of(options.held);
  options.scale.grid = grid_of("--grid", grid, options.scale.ranks);
  take_loads(options.scale, load_ranks, load_grid);
  return options;
}

// A number as its name says what it is.
std::string number_text(const std::string& name, const nlohmann::json& value) {
  if (name.ends_with("_bytes")) return cli::human_bytes(value.get<std::uint64_t>());
  if (name.ends_with("_s")) return fmt::format("{:.1f} ms", value.get<double>() * 1000);
  return value.is_number_integer() ? fmt::format("{}", value.get<std::int64_t>())
                                   : fmt::format("{:.3f}", value.get<double>());
}

// "fullest_rank_bytes" is printed as "fullest rank".
std::string label(std::string name) {
  for (const std::string_view unit : {"_bytes", "_s"}) {
    if (name.ends_with(unit)) {
      name.resize(name.size() - unit.size());
      break;
    }
  }
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

// The median over the rounds of each step, and the other numbers of the last one.
void print_plan(const std::vector<PlanScaleReport>& reports, const Spread& plan_s) {
  const auto& last = reports.back();
  cli::TextTable table({"", "MEDIAN ms", "[MIN..MAX]"}, {1});
  table.add({"plan", fmt::format("{:.1f}", plan_s.median * 1000),
             fmt::format("[{:.1f}..{:.1f}]", plan_s.min * 1000, plan_s.max * 1000)});
  for (std::size_t step = 0; step < last.steps_s.size(); ++step) {
    std::vector<double> seconds;
    seconds.reserve(reports.size());
    for (const auto& report : reports) seconds.push_back(report.steps_s.at(step).second);
    table.add({"  " + last.steps_s[step].first, fmt::format("{:.1f}", median(seconds) * 1000), ""});
  }
  table.print();
  fmt::print("\n");
  cli::TextTable numbers({"OF THE LAST ROUND", ""}, {1});
  const auto all = last.to_json();
  for (const auto& [name, value] : all.items()) {
    if (value.is_number() && name != "plan_s") numbers.add({label(name), number_text(name, value)});
  }
  numbers.print();
}

// "tp=8 pp=16 dp=128", and the other axes where they are more than 1.
std::string grid_text(const Grid& grid) {
  auto text = fmt::format("tp={} pp={} dp={}", grid.tensor, grid.pipeline, grid.data);
  if (grid.expert > 1) text += fmt::format(" ep={}", grid.expert);
  if (grid.context > 1) text += fmt::format(" cp={}", grid.context);
  return text;
}

// The median over the rounds of each step, and the other numbers of the last one.
void print_loads(const std::vector<PlanScaleReport>& reports) {
  std::vector<std::string> head{"LOAD BY", "GRID", "PLAN ms"};
  const auto median_ms = [&](const auto& seconds_of) {
    std::vector<double> seconds;
    for (const auto& report : reports) seconds.push_back(seconds_of(report));
    return fmt::format("{:.1f}", median(seconds) * 1000);
  };
  for (const auto& [name, seconds] : reports.back().loads.front().steps_s) head.push_back(label(name));
  head.insert(head.end(), {"FULLEST RANK", "RECEIVED", "WANTS", "UNITS", "SPREAD"});
  std::vector<std::size_t> right{0};
  for (std::size_t column = 2; column < head.size(); ++column) right.push_back(column);
  cli::TextTable table(std::move(head), std::move(right));
  for (std::size_t i = 0; i < reports.back().loads.size(); ++i) {
    const auto& load = reports.back().loads[i];
    std::vector<std::string> row{std::to_string(load.ranks), grid_text(load.grid),
                                 median_ms([&](const auto& report) { return report.loads[i].plan_s; })};
    for (std::size_t step = 0; step < load.steps_s.size(); ++step) {
      row.push_back(median_ms([&](const auto& report) { return report.loads[i].steps_s[step].second; }));
    }
    row.insert(row.end(),
               {cli::human_bytes(load.fullest_rank_bytes), cli::human_bytes(load.exchanged_bytes),
                std::to_string(load.requests), std::to_string(load.units), fmt::format("{:.3f}", load.read_spread)});
    table.add(std::move(row));
  }
  table.print();
}

}  // namespace

int plan(const Arguments& arguments) {
  const auto options = parse_plan(arguments);
  if (!options || launched_rank() != 0) return kFine;
  const auto& scale = options->scale;
  const auto started_at = utc_now();
  std::vector<PlanScaleReport> reports;
  std::vector<double> plan_s;
  auto samples = nlohmann::json::array();
  for (int round = 0; round < options->rounds; ++round) {
    reports.push_back(measure_plan(scale));
    plan_s.push_back(reports.back().plan_s);
    samples.push_back(reports.back().to_json());
    fmt::print(stderr, "round {} of {}: {:.3f} s\n", round + 1, options->rounds, plan_s.back());
  }
  const auto spread = spread_of(plan_s);
  fmt::print("plan of {} ranks ({}, {}), {} tensors, {} rounds\n\n", scale.ranks, grid_text(scale.grid), options->held,
             scale.tensors, options->rounds);
  print_plan(reports, spread);
  fmt::print("\n");
  print_loads(reports);
  if (!options->json_file.empty()) {
    write_json(options->json_file, {{"format", 1},
                                    {"command", "plan"},
                                    {"command_line", arguments},
                                    {"started_at", started_at},
                                    {"ranks", scale.ranks},
                                    {"tensors", scale.tensors},
                                    {"grid",
                                     {{"tp", scale.grid.tensor},
                                      {"pp", scale.grid.pipeline},
                                      {"dp", scale.grid.data},
                                      {"ep", scale.grid.expert},
                                      {"cp", scale.grid.context}}},
                                    {"held", options->held},
                                    {"plan_s", {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}}},
                                    {"samples", std::move(samples)}});
  }
  return kFine;
}

}  // namespace muster::bench
