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
      "Plans the load of a checkpoint by other ranks, from the head of the file alone: whether it would work, which\n"
      "rank reads and sends how many bytes, and how much memory each rank needs. PATH is a checkpoint file, or a\n"
      "directory, which stands for the tag that a resume tries first. Exit code 1 if the load would not work.\n"
      "Rules state how the grid cuts the tensors of the model, by key. '*' matches any text. The first rule that\n"
      "matches counts, and a tensor that no rule matches is replicated. KIND is replicated, column, row, vocabulary,\n"
      "vocabulary:SIZE, fused:NUMBER, fused:SIZE,SIZE,..., expert, expert-column or expert-row. The tensors of the\n"
      "optimizer are cut like their parameters.\n"
      "Pipeline stages get the layers in order, in numbers that differ by one at most. The first part of a key that\n"
      "is a number is the number of its layer. Keys without a number that --first-stage matches belong to the first\n"
      "stage, and the others to the last.\n"
      "SENDS and RECEIVES count the bytes between nodes. Ranks of one node read each other's memory.",
      "path");
  parser.add()                                                                                        //
      ("tag", po::value<std::string>()->value_name("T"), "this tag of the directory")                 //
      ("ranks", po::value<int>()->value_name("N"), "the number of ranks that would load (required)")  //
      ("ranks-per-node", po::value<int>()->value_name("N"),
       "the ranks of a node, in the order of their numbers; 1 if not given")  //
      ("grid", po::value<std::string>()->value_name("tp=T,cp=C,ep=E,dp=D,pp=P"),
       "the grid of these ranks; an axis that is not named is 1, and dp is what is left")                         //
      ("rule", po::value<Strings>()->value_name("KEYS=KIND"), "how tensors are cut; may be given several times")  //
      ("zero1", "each data parallel rank loads its range of the rows of the optimizer's tensors")                 //
      ("first-stage", po::value<Strings>()->value_name("KEYS"),
       "keys without a layer number that belong to the first stage; *emb*, *wte* and *wpe* if not given")  //
      ("keys", po::value<std::string>()->value_name("FILE"),
       "the paths of the program, one for each line (/model/fc.weight); a path that the checkpoint lacks is missing")  //
      ("all", "print a line for every rank");
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
