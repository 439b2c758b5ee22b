// muster-bench plan

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <map>
#include <sstream>

#include "base/clock.hpp"
#include "bench/command.hpp"
#include "bench/exit_code.hpp"
#include "bench/launched_rank.hpp"
#include "bench/plan_scale.hpp"
#include "bench/report.hpp"
#include "bench/statistics.hpp"
#include "cli/text.hpp"

namespace muster::bench {

namespace {

namespace po = boost::program_options;

constexpr const char* kHelp = R"(usage: muster-bench plan [options]

Plans the save of a large job without that job: describes what its ranks would hold, decides who writes what, and lays
the file out, as every rank does in its first save and whenever its state changes. No MPI, no disk.

  muster-bench plan --ranks 16384 --tensors 3000 --grid tp=8,pp=16,dp=128 --held zero1
  muster-bench plan --ranks 1024 --grid pp=8 --rounds 5 --json plan.json
)";

struct PlanOptions {
  PlanScaleOptions scale{.ranks = 16384, .tensors = 3000};
  int rounds = 3;
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

// "tp=8,pp=16,dp=128"; what is not named is 1, and dp what is left of the ranks.
void take_grid(PlanScaleOptions& scale, const std::string& text) {
  std::map<std::string, int> degrees;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    const auto equals = item.find('=');
    const auto key = item.substr(0, equals);
    if (equals == std::string::npos || (key != "tp" && key != "pp" && key != "dp")) {
      throw UsageError("--grid is '" + text + "', and must look like tp=8,pp=16,dp=128");
    }
    degrees[key] = positive_number(item.substr(equals + 1), "--grid " + key);
  }
  const auto degree = [&](const char* key, int otherwise) {
    return degrees.contains(key) ? degrees.at(key) : otherwise;
  };
  scale.tensor_parallel = degree("tp", 1);
  scale.pipeline = degree("pp", 1);
  const auto model_ranks = static_cast<std::int64_t>(scale.tensor_parallel) * scale.pipeline;
  scale.data = degree("dp", static_cast<int>(std::max<std::int64_t>(1, scale.ranks / model_ranks)));
  if (model_ranks * scale.data != scale.ranks) {
    throw UsageError(fmt::format("--grid tp={},pp={},dp={} has {} ranks, and --ranks says {}", scale.tensor_parallel,
                                 scale.pipeline, scale.data, model_ranks * scale.data, scale.ranks));
  }
}

std::optional<PlanOptions> parse(const Arguments& arguments) {
  PlanOptions options;
  std::string grid;
  std::string held = "replicated";
  po::options_description described("options", 118);
  described.add_options()                                                                                            //
      ("ranks", po::value(&options.scale.ranks)->default_value(options.scale.ranks), "of the job")                   //
      ("tensors", po::value(&options.scale.tensors)->default_value(options.scale.tensors), "of its state")           //
      ("grid", po::value(&grid)->value_name("tp=T,pp=P,dp=D"), "degrees; dp is what is left where it is not given")  //
      ("held", po::value(&held)->default_value(held),
       "replicated: every data parallel rank holds the optimizer state; zero1: each a part of it")               //
      ("rounds", po::value(&options.rounds)->default_value(options.rounds), "times to plan; the median counts")  //
      ("json", po::value(&options.json_file)->value_name("FILE"), "write the result to FILE")                    //
      ("help,h", "this page");
  po::variables_map found;
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(arguments).options(described).positional({}).style(style).run(), found);
    po::notify(found);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  if (found.count("help") != 0) {
    std::ostringstream text;
    text << kHelp << '\n' << described;
    if (launched_rank() == 0) fmt::print("{}", text.str());
    return std::nullopt;
  }
  if (options.scale.ranks < 1)
    throw UsageError(fmt::format("--ranks is {}, and must be 1 or more", options.scale.ranks));
  if (options.scale.tensors < 1 || options.scale.tensors > 10'000'000) {
    throw UsageError(fmt::format("--tensors is {}, and must be from 1 to 10000000", options.scale.tensors));
  }
  if (options.rounds < 1) throw UsageError(fmt::format("--rounds is {}, and must be 1 or more", options.rounds));
  if (held != "replicated" && held != "zero1") {
    throw UsageError("--held is '" + held + "', and must be replicated or zero1");
  }
  options.scale.zero1 = held == "zero1";
  take_grid(options.scale, grid);
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

}  // namespace

int plan(const Arguments& arguments) {
  const auto options = parse(arguments);
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
  fmt::print("plan of {} ranks (tp={}, pp={}, dp={}{}), {} tensors, {} rounds\n\n", scale.ranks, scale.tensor_parallel,
             scale.pipeline, scale.data, scale.zero1 ? ", zero1" : "", scale.tensors, options->rounds);
  print_plan(reports, spread);
  if (!options->json_file.empty()) {
    write_json(options->json_file,
               {{"format", 1},
                {"command", "plan"},
                {"command_line", arguments},
                {"started_at", started_at},
                {"ranks", scale.ranks},
                {"tensors", scale.tensors},
                {"grid", {{"tp", scale.tensor_parallel}, {"pp", scale.pipeline}, {"dp", scale.data}}},
                {"held", scale.zero1 ? "zero1" : "replicated"},
                {"plan_s", {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}}},
                {"samples", std::move(samples)}});
  }
  return kFine;
}

}  // namespace muster::bench
