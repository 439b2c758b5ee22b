#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "h5/catalog_reader.hpp"
#include "store/retention.hpp"
#include "store/verify.hpp"

namespace muster::cli {

namespace {

bool is_good(const store::TagEntry& entry) {
  try {
    return store::verify(entry.file, h5::read_catalog(entry.file), {}).damages.empty();
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

int prune(const Arguments& arguments) {
  Parser parser(
      "muster prune DIR --keep-last N [--dry-run] [--json]",
      "Deletes all sound checkpoints except the newest N. Before anything is deleted, the newest ones are read and\n"
      "checked in full until one passes. That one is kept in any case. If none of the N passes, nothing is deleted\n"
      "and the exit code is 1. Damaged checkpoints are neither counted nor deleted.\n"
      "Do not use it on a directory that a job saves to: num_kept_ckpts is for that.",
      "directory");
  parser.add()("keep-last", boost::program_options::value<int>()->value_name("N"),
               "the number of checkpoints to keep, at least 1 (required)")(
      "dry-run", "print what would be deleted, and delete nothing");
  if (!parser.parse(arguments)) return kFine;
  const auto keep = parser.get<int>("keep-last");
  if (!keep) throw UsageError("--keep-last is missing: the number of checkpoints to keep");
  if (*keep < 1) throw UsageError(fmt::format("--keep-last {} would keep nothing; it must be at least 1", *keep));

  const auto entries = entries_of(parser.path());
  std::string good;
  int looked_at = 0;
  for (const auto& entry : entries) {
    if (!entry.run || looked_at++ == *keep) break;  // sound ones come first
    if (!is_good(entry)) continue;
    good = entry.tag;
    break;
  }
  const auto retired = store::tags_to_retire(entries, *keep, good);
  if (good.empty() && !retired.empty()) {
    fmt::print(stderr, "muster prune: none of the newest {} checkpoints in {} passes verification; nothing deleted\n",
               *keep, parser.path().string());
    return kNotSo;
  }
  std::uint64_t bytes = 0;
  for (const auto& entry : entries) {
    if (std::find(retired.begin(), retired.end(), entry.tag) != retired.end()) bytes += entry.file_bytes;
  }
  const bool dry = parser.has("dry-run");
  if (!dry) store::retire(parser.path(), retired);
  if (parser.json()) {
    const nlohmann::json all{{"removed", retired}, {"bytes", bytes}, {"dry_run", dry}, {"verified", good}};
    fmt::print("{}", json_text(all));
  } else {
    for (const auto& tag : retired) fmt::print("{} {}\n", dry ? "would delete" : "deleted", tag);
    fmt::print("{} checkpoints, {}{}\n", retired.size(), human_bytes(bytes), dry ? " (dry run)" : "");
  }
  return kFine;
}

}  // namespace muster::cli
