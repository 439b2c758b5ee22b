#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "h5/catalog_reader.hpp"
#include "model/grid_text.hpp"
#include "plan/dry_run.hpp"

namespace muster::cli {

namespace {

using nlohmann::json;
using plan::DryRunRank;
using Strings = std::vector<std::string>;

struct Column {
  const char* title;
  std::uint64_t DryRunRank::*bytes;
};
constexpr std::array kColumns{Column{"STATE", &DryRunRank::state_bytes}, Column{"BUFFERS", &DryRunRank::buffer_bytes},
                              Column{"READS", &DryRunRank::read_bytes}, Column{"SENDS", &DryRunRank::sent_bytes},
                              Column{"RECEIVES", &DryRunRank::received_bytes}};

std::uint64_t total(const plan::DryRun& dry_run, std::uint64_t DryRunRank::*bytes) {
  std::uint64_t all = 0;
  for (const auto& rank : dry_run.ranks) all += rank.*bytes;
  return all;
}

json as_json(const std::filesystem::path& file, const Catalog& catalog, const plan::DryRunJob& job,
             const plan::DryRun& dry_run) {
  json all{{"file", file.string()},
           {"tag", catalog.run.tag},
           {"saved_by_ranks", catalog.world_size},
           {"payload_bytes", catalog.payload_bytes},
           {"ranks", job.ranks},
           {"grid", to_string(resolve(job.grid, job.ranks))},
           {"ranks_per_node", job.ranks_per_node},
           {"zero1", job.zero1},
           {"works", dry_run.problems.empty()},
           {"problems", dry_run.problems},
           {"notes", dry_run.notes}};
  if (!dry_run.problems.empty()) return all;
  all["read_bytes"] = total(dry_run, &DryRunRank::read_bytes);
  all["sent_bytes"] = total(dry_run, &DryRunRank::sent_bytes);
  all["per_rank"] = json::array();
  const ParallelGrid grid(job.grid, job.ranks);
  for (int rank = 0; rank < job.ranks; ++rank) {
    const auto& share = dry_run.ranks[static_cast<std::size_t>(rank)];
    json row{{"rank", rank},
             {"tensors", share.tensors},
             {"state_bytes", share.state_bytes},
             {"buffer_bytes", share.buffer_bytes},
             {"read_bytes", share.read_bytes},
             {"sent_bytes", share.sent_bytes},
             {"received_bytes", share.received_bytes}};
    for (std::size_t axis = 0; axis < kAxes; ++axis) {
      const auto which = static_cast<Axis>(axis);
      row[std::string(name(which))] = grid.coordinate(rank, which);
    }
    all["per_rank"].push_back(std::move(row));
  }
  return all;
}

// Of every number: the sum, the mean, and who has most.
void print_summary(const plan::DryRun& dry_run) {
  TextTable table({"", "ALL RANKS", "MEAN", "MOST", "ON RANK"}, {1, 2, 3, 4});
  for (const auto& [title, bytes] : kColumns) {
    const auto most = std::ranges::max_element(dry_run.ranks, {}, bytes);
    const auto all = total(dry_run, bytes);
    table.add({title, human_bytes(all), human_bytes(all / dry_run.ranks.size()), human_bytes((*most).*bytes),
               std::to_string(most - dry_run.ranks.begin())});
  }
  table.print();
}

void print_ranks(const plan::DryRunJob& job, const plan::DryRun& dry_run) {
  const ParallelGrid grid(job.grid, job.ranks);
  Strings head{"RANK"};
  std::vector<std::size_t> right{0};
  const auto add = [&](std::string title) {
    right.push_back(head.size());
    head.push_back(std::move(title));
  };
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    const auto which = static_cast<Axis>(axis);
    if (grid.degree(which) > 1) add(std::string(name(which)));
  }
  add("TENSORS");
  for (const auto& column : kColumns) add(column.title);
  TextTable table(std::move(head), std::move(right));
  for (int rank = 0; rank < job.ranks; ++rank) {
    const auto& share = dry_run.ranks[static_cast<std::size_t>(rank)];
    Strings row{std::to_string(rank)};
    for (std::size_t axis = 0; axis < kAxes; ++axis) {
      const auto which = static_cast<Axis>(axis);
      if (grid.degree(which) > 1) row.push_back(std::to_string(grid.coordinate(rank, which)));
    }
    row.push_back(std::to_string(share.tensors));
    for (const auto& column : kColumns) row.push_back(human_bytes(share.*column.bytes));
    table.add(std::move(row));
  }
  table.print();
}

// What many tensors have in common is told of the first ones.
void print_some(const char* what, const Strings& lines) {
  constexpr std::size_t kMost = 12;
  for (std::size_t i = 0; i < std::min(kMost, lines.size()); ++i) fmt::print("  {}: {}\n", what, lines[i]);
  if (lines.size() > kMost) fmt::print("  {}: and {} more (--json has all)\n", what, lines.size() - kMost);
}

void print_text(const std::filesystem::path& file, const Catalog& catalog, const plan::DryRunJob& job,
                const plan::DryRun& dry_run, bool all_ranks) {
  fmt::print("{}: {} in {} tensors, saved by {} ranks\n", file.string(), human_bytes(catalog.payload_bytes),
             catalog.tensors.size(), catalog.world_size);
  fmt::print("to be loaded by {} ranks, {}{}\n", job.ranks, to_string(resolve(job.grid, job.ranks)),
             job.zero1 ? ", ZeRO-1" : "");
  print_some("does not fit", dry_run.problems);
  print_some("note", dry_run.notes);
  if (!dry_run.problems.empty()) {
    fmt::print("this load would not work\n");
    return;
  }
  fmt::print("this load would work: {} from disk, {} between nodes\n\n",
             human_bytes(total(dry_run, &DryRunRank::read_bytes)),
             human_bytes(total(dry_run, &DryRunRank::sent_bytes)));
  print_summary(dry_run);
  if (!all_ranks) return;
  fmt::print("\n");
  print_ranks(job, dry_run);
}

// Without the empty ones.
Strings lines_of(const std::string& path) {
  std::ifstream file(path);
  Strings lines;
  for (std::string line; std::getline(file, line);) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) lines.push_back(std::move(line));
  }
  if (!file.eof()) throw UsageError(fmt::format("--keys: {} cannot be read", path));
  return lines;
}

}  // namespace

int dry_run(const Arguments& arguments) {
  namespace po = boost::program_options;
  Parser parser(
      "muster dry-run PATH --ranks N [--ranks-per-node N] [--grid tp=T,pp=P,...] [--rule KEYS=KIND]... [--zero1] "
      "[--keys FILE] [--tag T] [--all] [--json]",
      "Says what a load by other ranks would be like, from the head of the file alone: whether it would work, who "
      "reads\n"
      "how much from disk and sends how much to others, and what each rank needs in memory. PATH is a directory, "
      "meaning\n"
      "the tag that a resume tries first, or a checkpoint file.\n"
      "Rules say how the grid cuts the model's tensors, by their keys, where '*' stands for anything: the first that\n"
      "matches counts, and what none matches is replicated. KIND is replicated, column, row, vocabulary, fused:3 (or\n"
      "fused:SIZE,SIZE,...), expert, expert-column or expert-row. The optimizer's tensors are cut as their "
      "parameters.\n"
      "Pipeline stages get the layers in order, in numbers as equal as can be; the first number in a key is its "
      "layer's.\n"
      "Keys without one: those that --first-stage matches go to the first stage, the others to the last.\n"
      "SENDS and RECEIVES count what goes from node to node: ranks of one node take it from each other's memory.",
      "path");
  parser.add()("tag", po::value<std::string>(), "this tag of the directory")(
      "ranks", po::value<int>(), "that would load")("ranks-per-node", po::value<int>(),
                                                    "in the order of their numbers; 1 if not given")(
      "grid", po::value<std::string>()->value_name("tp=T,cp=C,ep=E,dp=D,pp=P"),
      "their grid; what is not named is 1, and dp what is left")("rule", po::value<Strings>()->value_name("KEYS=KIND"),
                                                                 "how tensors are cut; may be given several times")(
      "zero1", "each data parallel rank loads its chunk of the rows of the optimizer's tensors")(
      "first-stage", po::value<Strings>()->value_name("KEYS"),
      "keys without a layer that belong to the first stage; *emb*, *wte* and *wpe* if none is given")(
      "keys", po::value<std::string>()->value_name("FILE"),
      "the paths of what the program has, one a line (/model/fc.weight): what the checkpoint lacks of them is missing")(
      "all", "a line for every rank");
  if (!parser.parse(arguments)) return kFine;
  const auto ranks = parser.get<int>("ranks");
  if (!ranks) throw UsageError("--ranks is missing");
  program::require_between("--ranks", *ranks, 1, 1'000'000);
  plan::DryRunJob job;
  job.ranks = *ranks;
  job.zero1 = parser.has("zero1");
  job.ranks_per_node = parser.get<int>("ranks-per-node").value_or(1);
  program::require_between("--ranks-per-node", job.ranks_per_node, 1, std::numeric_limits<int>::max());
  if (const auto keys = parser.get<std::string>("keys")) job.wanted = lines_of(*keys);
  job.grid = program::as_usage(
      "--grid", [&] { return resolve(parse_grid(parser.get<std::string>("grid").value_or("")), *ranks); });
  for (const auto& text : parser.get<Strings>("rule").value_or(Strings())) {
    job.rules.push_back(program::as_usage("--rule", [&] { return parse_rule(text); }));
  }
  if (const auto patterns = parser.get<Strings>("first-stage")) job.first_stage = *patterns;
  const auto file = selected_file(parser.path(), parser.get<std::string>("tag"));
  const auto catalog = h5::read_catalog(file);
  const auto dry_run = plan::dry_run(catalog, job);
  if (parser.json()) {
    fmt::print("{}", json_text(as_json(file, catalog, job, dry_run)));
  } else {
    print_text(file, catalog, job, dry_run, parser.has("all"));
  }
  return dry_run.problems.empty() ? kFine : kNotSo;
}

}  // namespace muster::cli
