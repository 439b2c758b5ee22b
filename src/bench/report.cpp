#include "bench/report.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/bytes.hpp"
#include "base/posix.hpp"
#include "bench/machine.hpp"
#include "bench/statistics.hpp"
#include "bench/workload.hpp"
#include "cli/text.hpp"

namespace muster::bench {

namespace {

constexpr double kGiga = 1e9;
constexpr double kMebi = 1048576;

nlohmann::json json_of(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

nlohmann::json json_of(const Sample& sample) {
  return {{"seconds", sample.seconds},
          {"phase_s", sample.phase_s},
          {"first_byte_s", sample.first_byte_s},
          {"peak_bytes", sample.peak_bytes},
          {"details", sample.details}};
}

Spread speeds(const std::vector<double>& seconds, double bytes) {
  std::vector<double> all;
  all.reserve(seconds.size());
  for (const double s : seconds) all.push_back(bytes / s / kGiga);
  return spread_of(all);
}

// The median over the rounds of each phase; a phase that a round did not have took no time in it.
std::map<std::string, double> median_phases(const std::vector<Sample>& samples) {
  std::set<std::string> phases;
  for (const auto& sample : samples) {
    for (const auto& [phase, phase_s] : sample.phase_s) phases.insert(phase);
  }
  std::map<std::string, double> medians;
  for (const auto& phase : phases) {
    std::vector<double> seconds;
    seconds.reserve(samples.size());
    for (const auto& sample : samples) seconds.push_back(sample.phase_s.contains(phase) ? sample.phase_s.at(phase) : 0);
    medians[phase] = median(seconds);
  }
  return medians;
}

// What the device did while the thing was at it, medians over the rounds.
nlohmann::json device_json(const ThingResult& thing) {
  if (thing.device.empty() || thing.device.size() != thing.samples.size()) return nullptr;
  std::vector<double> busy;
  std::vector<double> in_flight;
  std::vector<double> request_bytes;
  for (std::size_t i = 0; i < thing.device.size(); ++i) {
    const auto& device = thing.device[i];
    const double ms = thing.samples[i].seconds * 1000;
    busy.push_back(static_cast<double>(device.busy_ms) / ms);
    in_flight.push_back(static_cast<double>(device.queued_ms) / ms);
    request_bytes.push_back(
        device.requests == 0 ? 0 : static_cast<double>(device.bytes) / static_cast<double>(device.requests));
  }
  return {{"busy", json_of(spread_of(busy))},
          {"requests_in_flight", json_of(spread_of(in_flight))},
          {"request_bytes", json_of(spread_of(request_bytes))}};
}

nlohmann::json json_of(const ThingResult& thing, double payload_bytes) {
  auto samples = nlohmann::json::array();
  std::vector<double> seconds;
  std::vector<double> ratios;
  std::vector<double> first_bytes;
  std::uint64_t peak_bytes = thing.first.peak_bytes;
  for (std::size_t i = 0; i < thing.samples.size(); ++i) {
    const auto& sample = thing.samples[i];
    auto row = json_of(sample);
    if (!thing.limit_before_s.empty()) {
      ratios.push_back(relative_speed(thing.limit_before_s[i], thing.limit_after_s[i], sample.seconds));
      row["limit_before_s"] = thing.limit_before_s[i];
      row["limit_after_s"] = thing.limit_after_s[i];
      row["ratio"] = ratios.back();
    }
    seconds.push_back(sample.seconds);
    first_bytes.push_back(sample.first_byte_s);
    peak_bytes = std::max(peak_bytes, sample.peak_bytes);
    samples.push_back(std::move(row));
  }
  return {{"name", thing.name},
          {"first", json_of(thing.first)},
          {"samples", std::move(samples)},
          {"seconds", json_of(spread_of(seconds))},
          {"gb_per_s", json_of(speeds(seconds, payload_bytes))},
          {"ratio", ratios.empty() ? nlohmann::json(nullptr) : json_of(spread_of(ratios))},
          {"phase_s", median_phases(thing.samples)},
          {"first_byte_s", median(first_bytes)},
          {"peak_bytes", peak_bytes},
          {"device", device_json(thing)}};
}

nlohmann::json limit_json(const RoundsResult& result, double payload_bytes) {
  if (result.limit_kinds.empty()) return nullptr;
  auto kinds = nlohmann::json::array();
  for (std::size_t kind = 0; kind < result.limit_kinds.size(); ++kind) {
    kinds.push_back({{"kind", result.limit_kinds[kind]},
                     {"warmup_s", result.calibration_s[kind]},
                     {"gb_per_s", json_of(speeds(result.calibration_s[kind], payload_bytes))}});
  }
  return {{"kind", result.limit_kinds[result.limit_kind]},
          {"kinds", std::move(kinds)},
          {"samples_s", result.limit_s},
          {"seconds", json_of(spread_of(result.limit_s))},
          {"gb_per_s", json_of(speeds(result.limit_s, payload_bytes))}};
}

// Of what is there, in the order in which a save goes through them.
std::vector<std::string> phase_order(const nlohmann::json& things) {
  std::vector<std::string> order;
  const auto add = [&](const std::string& phase) {
    if (std::find(order.begin(), order.end(), phase) == order.end()) order.push_back(phase);
  };
  std::set<std::string> present;
  for (const auto& thing : things) {
    for (const auto& [phase, seconds] : thing.at("phase_s").items()) present.insert(phase);
  }
  for (const char* phase : {"agree", "plan", "open", "write", "sync", "publish"}) {
    if (present.contains(phase)) add(phase);
  }
  for (const auto& phase : present) add(phase);
  return order;
}

std::string text_or_dash(double value, const char* format) {
  return value == 0 ? "-" : fmt::format(fmt::runtime(format), value);
}

void print_things(const nlohmann::json& report) {
  const bool saves = report.at("command") == "save";
  cli::TextTable table({"THING", "GB/s", "OF LIMIT", "[MIN..MAX]", "ms", saves ? "FIRST SAVE ms" : "FIRST LOAD ms",
                        "FIRST BYTE ms", "PEAK MiB"},
                       {1, 2, 4, 5, 6, 7});
  if (const auto& limit = report.at("limit"); !limit.is_null()) {
    const auto& speed = limit.at("gb_per_s");
    const auto middle = speed.at("median").get<double>();
    table.add({"limit", fmt::format("{:.2f}", middle), "1.00",
               fmt::format("[{:.2f}..{:.2f}]", speed.at("min").get<double>() / middle,
                           speed.at("max").get<double>() / middle),
               fmt::format("{:.1f}", limit.at("seconds").at("median").get<double>() * 1000), "-", "-", "-"});
  }
  for (const auto& thing : report.at("things")) {
    const auto& ratio = thing.at("ratio");
    const bool compared = !ratio.is_null();
    table.add(
        {thing.at("name").get<std::string>(), fmt::format("{:.2f}", thing.at("gb_per_s").at("median").get<double>()),
         compared ? fmt::format("{:.2f}", ratio.at("median").get<double>()) : "-",
         compared ? fmt::format("[{:.2f}..{:.2f}]", ratio.at("min").get<double>(), ratio.at("max").get<double>()) : "-",
         fmt::format("{:.1f}", thing.at("seconds").at("median").get<double>() * 1000),
         fmt::format("{:.1f}", thing.at("first").at("seconds").get<double>() * 1000),
         text_or_dash(thing.at("first_byte_s").get<double>() * 1000, "{:.1f}"),
         text_or_dash(thing.at("peak_bytes").get<double>() / kMebi, "{:.1f}")});
  }
  table.print();
}

void print_limit(const nlohmann::json& limit) {
  cli::TextTable table({"LIMIT, IN THE WARM-UP", "GB/s", ""}, {1});
  for (const auto& kind : limit.at("kinds")) {
    table.add({kind.at("kind").get<std::string>(),
               fmt::format("{:.2f}", kind.at("gb_per_s").at("median").get<double>()),
               kind.at("kind") == limit.at("kind") ? "taken" : ""});
  }
  table.print();
  fmt::print("\n");
}

// A bar of letters, each as long as its phase's share of the whole.
std::string phase_bar(const std::vector<std::string>& phases, const nlohmann::json& thing, double total_s) {
  constexpr double kWidth = 40;
  std::string bar;
  double until_s = 0;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    until_s += thing.at("phase_s").value(phases[i], 0.0);
    const auto end = static_cast<std::size_t>(std::lround(std::min(1.0, until_s / total_s) * kWidth));
    if (end > bar.size()) bar.append(end - bar.size(), static_cast<char>('A' + i % 26));
  }
  bar.append(static_cast<std::size_t>(kWidth) - std::min(bar.size(), static_cast<std::size_t>(kWidth)), '.');
  return bar;
}

void print_phases(const nlohmann::json& things) {
  const auto phases = phase_order(things);
  if (phases.empty()) return;
  std::vector<std::string> head{"PHASES ms"};
  std::vector<std::size_t> right;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    head.push_back(fmt::format("{}={}", static_cast<char>('A' + i % 26), phases[i]));
    right.push_back(i + 1);
  }
  head.emplace_back(".=rest");
  right.push_back(head.size() - 1);
  head.emplace_back("");
  cli::TextTable table(head, right);
  for (const auto& thing : things) {
    if (thing.at("phase_s").empty()) continue;
    const auto total_s = thing.at("seconds").at("median").get<double>();
    std::vector<std::string> row{thing.at("name").get<std::string>()};
    double sum_s = 0;
    for (const auto& phase : phases) {
      const auto seconds = thing.at("phase_s").value(phase, 0.0);
      sum_s += seconds;
      row.push_back(text_or_dash(seconds * 1000, "{:.1f}"));
    }
    row.push_back(fmt::format("{:.1f}", std::max(0.0, total_s - sum_s) * 1000));
    row.push_back(phase_bar(phases, thing, total_s));
    table.add(std::move(row));
  }
  fmt::print("\n");
  table.print();
}

// Of saves in the background: what the program waits for, and what the threads behind it take.
void print_async(const nlohmann::json& things) {
  cli::TextTable table({"IN THE BACKGROUND", "BLOCKED ms", "OF MEMCPY", "[MIN..MAX]", "STAGED AFTER ms", "MEMCPY ms",
                        "CPU ms", "PUBLISHED AFTER ms", "[MIN..MAX]"},
                       {1, 2, 4, 5, 6, 7});
  bool any = false;
  for (const auto& thing : things) {
    std::map<std::string, std::vector<double>> values;
    for (const auto& sample : thing.at("samples")) {
      const auto& details = sample.at("details");
      if (!details.contains("blocked_s")) continue;
      for (const char* name : {"blocked_s", "blocked_of_memcpy", "staged_s", "memcpy_s", "cpu_s", "publish_s"}) {
        values[name].push_back(details.at(name).get<double>());
      }
    }
    if (values.empty()) continue;
    any = true;
    const auto ms = [&](const char* name) { return fmt::format("{:.1f}", median(values[name]) * 1000); };
    const auto ratio = spread_of(values["blocked_of_memcpy"]);
    const auto published = spread_of(values["publish_s"]);
    table.add({thing.at("name").get<std::string>(), ms("blocked_s"), fmt::format("{:.2f}", ratio.median),
               fmt::format("[{:.2f}..{:.2f}]", ratio.min, ratio.max), ms("staged_s"), ms("memcpy_s"), ms("cpu_s"),
               ms("publish_s"), fmt::format("[{:.1f}..{:.1f}]", published.min * 1000, published.max * 1000)});
  }
  if (!any) return;
  fmt::print("\n");
  table.print();
}

void print_device(const nlohmann::json& things) {
  cli::TextTable table({"DEVICE", "BUSY", "[MIN..MAX]", "IN FLIGHT", "REQUEST KiB"}, {1, 3, 4});
  bool any = false;
  for (const auto& thing : things) {
    const auto& device = thing.at("device");
    if (device.is_null()) continue;
    any = true;
    const auto& busy = device.at("busy");
    table.add({thing.at("name").get<std::string>(), fmt::format("{:.2f}", busy.at("median").get<double>()),
               fmt::format("[{:.2f}..{:.2f}]", busy.at("min").get<double>(), busy.at("max").get<double>()),
               fmt::format("{:.1f}", device.at("requests_in_flight").at("median").get<double>()),
               fmt::format("{:.0f}", device.at("request_bytes").at("median").get<double>() / 1024)});
  }
  if (!any) return;
  fmt::print("\n");
  table.print();
}

}  // namespace

nlohmann::json to_json(const Report& report, const Options& options, const RoundsResult& result,
                       const std::vector<Absence>& absences) {
  const auto& workload = options.workload;
  const auto payload_bytes = static_cast<double>(workload.payload_bytes());
  auto things = nlohmann::json::array();
  for (const auto& thing : result.things) things.push_back(json_of(thing, payload_bytes));
  auto absent = nlohmann::json::array();
  for (const auto& absence : absences) absent.push_back({{"name", absence.name}, {"why", absence.why}});
  nlohmann::json all{{"format", 1},
                     {"command", report.command},
                     {"command_line", report.command_line},
                     {"started_at", report.started_at},
                     {"machine", describe_machine(options.directory)},
                     {"versions", describe_versions()},
                     {"ranks", report.ranks},
                     {"workload",
                      {{"name", workload.name},
                       {"tensors", workload.tensors.size()},
                       {"payload_bytes", workload.payload_bytes()},
                       {"held", name(options.held)},
                       {"seed", options.seed}}},
                     {"rounds", options.rounds.rounds},
                     {"warmup", options.rounds.warmup},
                     {"limit_all", options.rounds.limit_all},
                     {"touched_bytes", options.rounds.touched_bytes},
                     {"limit", limit_json(result, payload_bytes)},
                     {"things", std::move(things)},
                     {"absent", std::move(absent)}};
  all.update(report.notes);
  return all;
}

void print_report(const nlohmann::json& report) {
  const auto& workload = report.at("workload");
  const auto& machine = report.at("machine");
  fmt::print("{} of {}: {} in {} tensors, {}, {} ranks, {} rounds; {} cores, {}\n",
             report.at("command").get<std::string>(), workload.at("name").get<std::string>(),
             cli::human_bytes(workload.at("payload_bytes").get<std::uint64_t>()),
             workload.at("tensors").get<std::uint64_t>(), workload.at("held").get<std::string>(),
             report.at("ranks").get<int>(), report.at("rounds").get<int>(), machine.at("cores").get<int>(),
             machine.at("file_system").get<std::string>());
  if (report.contains("cache_dropped_by")) {
    fmt::print("cold by {}\n", report.at("cache_dropped_by").get<std::string>());
  }
  fmt::print("\n");
  if (const auto& limit = report.at("limit"); !limit.is_null()) print_limit(limit);
  print_things(report);
  print_phases(report.at("things"));
  print_async(report.at("things"));
  print_device(report.at("things"));
  for (const auto& absence : report.at("absent")) {
    fmt::print("left out: {}: {}\n", absence.at("name").get<std::string>(), absence.at("why").get<std::string>());
  }
}

void write_json(const std::filesystem::path& file, const nlohmann::json& value) {
  const auto text = value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  posix::File target(file, O_WRONLY | O_CREAT | O_TRUNC);
  target.write_at(as_bytes(text), 0);
  target.close();
}

}  // namespace muster::bench
