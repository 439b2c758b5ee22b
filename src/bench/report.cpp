#include "bench/report.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <muster/version.hpp>
#include <thread>

#include "base/bytes.hpp"
#include "base/file_system.hpp"
#include "base/posix.hpp"
#include "h5/library.hpp"
#include "mpi/mpi_version.hpp"

namespace muster::bench {

namespace {

using nlohmann::json;
using program::human_bytes;
using program::TextTable;

Spread speeds(const std::vector<double>& seconds, double bytes) {
  std::vector<double> all;
  all.reserve(seconds.size());
  for (const double s : seconds) all.push_back(bytes / s / 1e9);
  return spread_of(all);
}

// The values of all samples that have one at this place.
std::vector<double> values(const std::vector<json>& samples, const json::json_pointer& place) {
  std::vector<double> found;
  for (const auto& sample : samples) {
    if (sample.contains(place)) found.push_back(sample.at(place).get<double>());
  }
  return found;
}

json thing_json(const ThingResult& thing, double payload_bytes) {
  const auto seconds = values(thing.samples, "/seconds"_json_pointer);
  json all{{"name", thing.name},
           {"first", thing.first},
           {"samples", thing.samples},
           {"seconds", spread_json(spread_of(seconds))},
           {"gb_per_s", spread_json(speeds(seconds, payload_bytes))},
           {"ratio", spread_json(spread_of(values(thing.samples, "/ratio"_json_pointer)))},
           {"phase_s", json::object()}};
  for (const auto& [phase, phase_s] : thing.samples.front().at("phase_s").items()) {
    all["phase_s"][phase] = median(values(thing.samples, "/phase_s"_json_pointer / phase));
  }
  for (const char* name : {"first_byte_s", "blocked_s", "blocked_of_memcpy", "cpu_s", "publish_s"}) {
    const auto measured = values(thing.samples, json::json_pointer() / name);
    if (!measured.empty()) all[name] = spread_json(spread_of(measured));
  }
  auto peaks = values(thing.samples, "/peak_bytes"_json_pointer);
  peaks.push_back(thing.first.at("peak_bytes").get<double>());
  all["peak_bytes"] = std::ranges::max(peaks);
  return all;
}

std::string median_ms(const json& thing, const char* name) {
  return thing.contains(name) ? fmt::format("{:.1f}", thing.at(name).at("median").get<double>() * 1000) : "-";
}

// The least and the most, times a factor.
std::string range(const json& spread, const char* format, double factor = 1) {
  const auto number = [&](const char* name) {
    return fmt::format(fmt::runtime(format), spread.at(name).get<double>() * factor);
  };
  return fmt::format("[{}..{}]", number("min"), number("max"));
}

std::string median_text(const json& spread) { return fmt::format("{:.2f}", spread.at("median").get<double>()); }

void print_things(const json& report) {
  const bool saves = report.at("command") == "save";
  TextTable table({"THING", "GB/s", "OF LIMIT", "[MIN..MAX]", "ms", saves ? "FIRST SAVE ms" : "FIRST LOAD ms",
                   "FIRST BYTE ms", "PEAK MiB"},
                  {1, 2, 4, 5, 6, 7});
  const auto& limit = report.at("limit");
  const auto& speed = limit.at("gb_per_s");
  table.add({"limit", median_text(speed), "1.00", range(speed, "{:.2f}", 1 / speed.at("median").get<double>()),
             median_ms(limit, "seconds"), "-", "-", "-"});
  for (const auto& thing : report.at("things")) {
    table.add({thing.at("name").get<std::string>(), median_text(thing.at("gb_per_s")), median_text(thing.at("ratio")),
               range(thing.at("ratio"), "{:.2f}"), median_ms(thing, "seconds"),
               fmt::format("{:.1f}", thing.at("first").at("seconds").get<double>() * 1000),
               median_ms(thing, "first_byte_s"),
               fmt::format("{:.1f}", thing.at("peak_bytes").get<double>() / 1048576)});
  }
  table.print();
}

void print_limit(const json& limit) {
  TextTable table({"LIMIT, IN THE WARM-UP", "GB/s", ""}, {1});
  for (const auto& kind : limit.at("kinds")) {
    table.add({kind.at("kind").get<std::string>(), median_text(kind.at("gb_per_s")),
               kind.at("kind") == limit.at("kind") ? "taken" : ""});
  }
  table.print();
  fmt::print("\n");
}

void print_phases(const json& things) {
  // In the order in which a save and a load go through them.
  std::vector<std::string> head{"PHASES ms"};
  std::vector<std::size_t> right;
  for (const char* phase :
       {"agree", "plan", "open", "stage", "write", "sync", "publish", "find", "prepare", "check", "read", "commit"}) {
    if (std::ranges::none_of(things, [&](const auto& thing) { return thing.at("phase_s").contains(phase); })) continue;
    right.push_back(head.size());
    head.emplace_back(phase);
  }
  TextTable table(head, right);
  for (const auto& thing : things) {
    std::vector<std::string> row{thing.at("name").get<std::string>()};
    for (std::size_t i = 1; i < head.size(); ++i) {
      const auto& phases = thing.at("phase_s");
      row.push_back(phases.contains(head[i]) ? fmt::format("{:.1f}", phases.at(head[i]).get<double>() * 1000) : "-");
    }
    table.add(std::move(row));
  }
  fmt::print("\n");
  table.print();
}

// Of saves in the background: what the program waits for, and what the threads behind it take.
void print_async(const json& things) {
  TextTable table(
      {"IN THE BACKGROUND", "BLOCKED ms", "OF MEMCPY", "[MIN..MAX]", "CPU ms", "PUBLISHED AFTER ms", "[MIN..MAX]"},
      {1, 2, 4, 5});
  bool any = false;
  for (const auto& thing : things) {
    if (!thing.contains("blocked_s")) continue;
    any = true;
    table.add({thing.at("name").get<std::string>(), median_ms(thing, "blocked_s"),
               median_text(thing.at("blocked_of_memcpy")), range(thing.at("blocked_of_memcpy"), "{:.2f}"),
               median_ms(thing, "cpu_s"), median_ms(thing, "publish_s"), range(thing.at("publish_s"), "{:.1f}", 1000)});
  }
  if (!any) return;
  fmt::print("\n");
  table.print();
}

}  // namespace

nlohmann::json report_of(const std::string& command, int ranks, const std::string& started_at, const Options& options,
                         const RoundsResult& result) {
  const auto& workload = options.workload;
  const auto payload_bytes = static_cast<double>(workload.payload_bytes());
  json all{
      {"format", 2},
      {"command", command},
      {"command_line", options.arguments},
      {"started_at", started_at},
      {"machine", {{"cores", std::thread::hardware_concurrency()}, {"file_system", file_system_of(options.directory)}}},
      {"versions", {{"muster", kVersion}, {"hdf5", h5::library_version()}, {"mpi", mpi::library_version()}}},
      {"ranks", ranks},
      {"workload",
       {{"name", workload.name},
        {"tensors", workload.tensors.size()},
        {"payload_bytes", workload.payload_bytes()},
        {"held", name(options.held)}}},
      {"rounds", options.rounds},
      {"limit",
       {{"kind", result.limit_kinds[result.limit_kind]},
        {"kinds", json::array()},
        {"samples_s", result.limit_s},
        {"seconds", spread_json(spread_of(result.limit_s))},
        {"gb_per_s", spread_json(speeds(result.limit_s, payload_bytes))}}},
      {"things", json::array()}};
  for (std::size_t kind = 0; kind < result.limit_kinds.size(); ++kind) {
    all["limit"]["kinds"].push_back({{"kind", result.limit_kinds[kind]},
                                     {"warmup_s", result.calibration_s[kind]},
                                     {"gb_per_s", spread_json(speeds(result.calibration_s[kind], payload_bytes))}});
  }
  for (const auto& thing : result.things) all["things"].push_back(thing_json(thing, payload_bytes));
  return all;
}

void print_report(const nlohmann::json& report) {
  const auto& workload = report.at("workload");
  const auto& machine = report.at("machine");
  fmt::print("{} of {}: {} in {} tensors, {}, {} ranks, {} rounds; {} cores, {}\n\n",
             report.at("command").get<std::string>(), workload.at("name").get<std::string>(),
             human_bytes(workload.at("payload_bytes").get<std::uint64_t>()),
             workload.at("tensors").get<std::uint64_t>(), workload.at("held").get<std::string>(),
             report.at("ranks").get<int>(), report.at("rounds").get<int>(), machine.at("cores").get<int>(),
             machine.at("file_system").get<std::string>());
  print_limit(report.at("limit"));
  print_things(report);
  print_phases(report.at("things"));
  print_async(report.at("things"));
}

nlohmann::json spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

void write_json(const std::filesystem::path& file, const nlohmann::json& value) {
  if (file.empty()) return;
  posix::File target(file, O_WRONLY | O_CREAT | O_TRUNC);
  target.write_at(as_bytes(program::json_text(value)), 0);
  target.close();
}

}  // namespace muster::bench
