#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/narrow.hpp"
#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "store/history.hpp"

namespace muster::cli {

namespace {

using nlohmann::json;

std::vector<double> column(const json& entry, const char* name) {
  const auto ranks = entry.find("ranks");
  if (ranks == entry.end() || !ranks->is_object()) return {};
  return ranks->value(name, std::vector<double>());
}

double largest(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

// One save in figures.
struct Figures {
  double save_s = 0;             // the slowest rank's write and sync
  std::size_t slowest_rank = 0;  // that one
  double payload_bytes = 0;
  double blocked_s = 0;            // of the rank that waited longest
  double staging_bytes_per_s = 0;  // of the slowest rank to copy; 0: nothing was staged
  double of_memcpy = 0;            // the same next to that rank's memcpy
};

Figures figures_of(const json& entry) {
  Figures figures;
  figures.payload_bytes = entry.value("payload_bytes", 0.0);
  figures.blocked_s = largest(column(entry, "blocked_s"));
  const auto write_s = column(entry, "write_s");
  const auto sync_s = column(entry, "sync_s");
  for (std::size_t rank = 0; rank < write_s.size(); ++rank) {
    const double seconds = write_s[rank] + (rank < sync_s.size() ? sync_s[rank] : 0);
    if (seconds <= figures.save_s) continue;
    figures.save_s = seconds;
    figures.slowest_rank = rank;
  }
  const auto stage_s = column(entry, "stage_s");
  const auto bytes = column(entry, "bytes");
  const auto memcpy_speed = column(entry, "memcpy_bytes_per_s");
  for (std::size_t rank = 0; rank < std::min(stage_s.size(), bytes.size()); ++rank) {
    if (stage_s[rank] <= 0 || bytes[rank] <= 0) continue;
    const double speed = bytes[rank] / stage_s[rank];
    if (figures.staging_bytes_per_s != 0 && speed >= figures.staging_bytes_per_s) continue;
    figures.staging_bytes_per_s = speed;
    figures.of_memcpy = rank < memcpy_speed.size() && memcpy_speed[rank] > 0 ? speed / memcpy_speed[rank] : 0;
  }
  return figures;
}

json json_of(const json& entry) {
  const auto figures = figures_of(entry);
  auto row = entry;
  row["slowest_rank"] = figures.slowest_rank;
  row["save_s"] = figures.save_s;
  row["write_bytes_per_s"] = figures.save_s > 0 ? figures.payload_bytes / figures.save_s : 0;
  row["blocked_s"] = figures.blocked_s;
  row["staging_bytes_per_s"] = figures.staging_bytes_per_s;
  row["staging_of_memcpy"] = figures.of_memcpy;
  return row;
}

std::string gb_per_s(double bytes_per_s) { return bytes_per_s > 0 ? fmt::format("{:.2f}", bytes_per_s / 1e9) : "-"; }

void print_table(const std::vector<json>& entries) {
  TextTable table({"TAG", "OUTCOME", "KIND", "SIZE", "BLOCKED ms", "STAGED GB/s", "OF MEMCPY", "WRITTEN GB/s",
                   "PUBLISHED AFTER ms", "SLOWEST RANK", "WHY"},
                  {3, 4, 5, 6, 7, 8, 9});
  for (const auto& entry : entries) {
    const auto figures = figures_of(entry);
    const bool published = entry.value("outcome", "") == "published";
    table.add({entry.value("tag", "?"), entry.value("outcome", "?"), entry.value("async", false) ? "async" : "at once",
               human_bytes(static_cast<std::uint64_t>(figures.payload_bytes)),
               fmt::format("{:.1f}", figures.blocked_s * 1000), gb_per_s(figures.staging_bytes_per_s),
               figures.of_memcpy > 0 ? fmt::format("{:.2f}", figures.of_memcpy) : "-",
               published && figures.save_s > 0 ? gb_per_s(figures.payload_bytes / figures.save_s) : "-",
               published ? fmt::format("{:.1f}", entry.value("publish_s", 0.0) * 1000) : "-",
               published ? std::to_string(figures.slowest_rank) : "-", entry.value("reason", "")});
  }
  table.print();
  for (const auto& entry : entries) {
    for (const auto& failure : entry.value("failures", json::array())) {
      fmt::print("{} failed in phase {}: rank {}: {}\n", entry.value("tag", "?"), entry.value("phase", "?"),
                 failure.value("rank", -1), failure.value("message", "?"));
    }
  }
  // The rank to look at: the one that the others waited for most often.
  std::map<std::size_t, int> times_slowest;
  int published = 0;
  for (const auto& entry : entries) {
    if (entry.value("outcome", "") != "published" || column(entry, "write_s").size() < 2) continue;
    ++times_slowest[figures_of(entry).slowest_rank];
    ++published;
  }
  if (times_slowest.empty()) return;
  const auto most = std::max_element(times_slowest.begin(), times_slowest.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  fmt::print("slowest most often: rank {}, in {} of {} saves\n", most->first, most->second, published);
}

}  // namespace

int stats(const Arguments& arguments) {
  Parser parser(
      "muster stats DIR [--last N] [--json]",
      "Prints what the saves of a directory cost, oldest first, from history.jsonl.\n"
      "  BLOCKED          how long the program waited in the call, on the rank that waited longest\n"
      "  STAGED           how fast the slowest rank staged its bytes for a background save\n"
      "  OF MEMCPY        the same, relative to the memcpy of that rank\n"
      "  WRITTEN          the payload divided by the time of the slowest rank from its first byte to its fsync\n"
      "  PUBLISHED AFTER  the time from the last rank's fsync to the published tag\n"
      "  SLOWEST RANK     the rank with the longest time to write and sync\n"
      "  WHY              the reason that the program gave\n"
      "Exit code 1 if there is no history.",
      "directory");
  parser.add()("last", boost::program_options::value<std::int64_t>()->value_name("N"), "only the newest N saves");
  if (!parser.parse(arguments)) return kFine;
  const auto last = parser.get<std::int64_t>("last");
  if (last) program::require_between("--last", *last, 1, std::numeric_limits<std::int32_t>::max());
  const auto directory = parser.path();
  require_directory(directory);
  auto entries = store::read_history(directory);
  const auto all = narrow<std::int64_t>(entries.size());
  entries.erase(entries.begin(), entries.end() - std::min(last.value_or(all), all));
  if (parser.json()) {
    auto rows = json::array();
    for (const auto& entry : entries) rows.push_back(json_of(entry));
    fmt::print("{}", json_text({{"directory", directory.string()}, {"saves", std::move(rows)}}));
  } else if (entries.empty()) {
    fmt::print("no history in {}\n", directory.string());
  } else {
    print_table(entries);
  }
  return entries.empty() ? kNotSo : kFine;
}

}  // namespace muster::cli
