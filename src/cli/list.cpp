#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "store/names.hpp"
#include "store/pointer.hpp"

namespace muster::cli {

namespace {

std::vector<std::string> pointers_to(const std::filesystem::path& directory, const std::string& tag) {
  std::vector<std::string> names;
  for (const char* name : {store::kLatestPointer, "best"}) {
    if (store::read_pointer(directory, name) == tag) names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> leftovers_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (store::is_leftover(entry.path())) names.push_back(entry.path().filename().string());
  }
  return names;
}

std::string status_of(const store::TagEntry& entry) {
  if (entry.run) return "sound";
  return entry.is_readable ? "damaged" : "unreadable";
}

void print_json(const std::filesystem::path& directory, const std::vector<store::TagEntry>& entries) {
  auto tags = nlohmann::json::array();
  for (const auto& entry : entries) {
    nlohmann::json row{{"tag", entry.tag},
                       {"file", entry.file.string()},
                       {"file_bytes", entry.file_bytes},
                       {"status", status_of(entry)},
                       {"pointers", pointers_to(directory, entry.tag)}};
    if (entry.run) {
      row["step"] = entry.run->step ? nlohmann::json(*entry.run->step) : nlohmann::json(nullptr);
      row["sequence"] = entry.run->sequence;
      row["saved_at"] = entry.run->saved_at;
      row["world_size"] = entry.run->world_size;
      row["payload_bytes"] = entry.run->payload_bytes;
    } else {
      row["fault"] = entry.fault;
    }
    tags.push_back(std::move(row));
  }
  const nlohmann::json all{
      {"directory", directory.string()}, {"tags", std::move(tags)}, {"unfinished", leftovers_in(directory)}};
  fmt::print("{}", json_text(all));
}

void print_table(const std::filesystem::path& directory, const std::vector<store::TagEntry>& entries) {
  TextTable table({"TAG", "STEP", "SAVED (UTC)", "SIZE", "RANKS", "STATUS", "POINTERS"}, {1, 3, 4});
  for (const auto& entry : entries) {
    const auto pointers = fmt::format("{}", fmt::join(pointers_to(directory, entry.tag), ", "));
    if (entry.run) {
      table.add({entry.tag, or_dash(entry.run->step), entry.run->saved_at, human_bytes(entry.file_bytes),
                 std::to_string(entry.run->world_size), "sound", pointers});
    } else {
      table.add({entry.tag, "-", "-", human_bytes(entry.file_bytes), "-", status_of(entry), pointers});
    }
  }
  if (entries.empty()) {
    fmt::print("no checkpoints in {}\n", directory.string());
  } else {
    table.print();
  }
  for (const auto& entry : entries) {
    if (!entry.run) fmt::print("{}: {}\n", status_of(entry), entry.fault);
  }
  for (const auto& name : leftovers_in(directory)) {
    fmt::print("unfinished: {} (a save that is running, or was killed; the next save clears it)\n", name);
  }
}

}  // namespace

int list(const Arguments& arguments) {
  Parser parser("muster ls DIR [--json]",
                "Lists the checkpoints of a directory, newest first by their sequence numbers.\n"
                "STATUS is what the head and the tables show. `muster verify` also reads the payload.\n"
                "Exit code 1 if no checkpoint is sound, 3 if a checkpoint cannot be opened.",
                "directory");
  if (!parser.parse(arguments)) return kFine;
  const auto directory = parser.path();
  const auto entries = entries_of(directory);
  if (parser.json()) {
    print_json(directory, entries);
  } else {
    print_table(directory, entries);
  }
  if (!std::ranges::all_of(entries, &store::TagEntry::is_readable)) return kFailed;
  return std::any_of(entries.begin(), entries.end(), [](const auto& entry) { return entry.run.has_value(); }) ? kFine
                                                                                                              : kNotSo;
}

}  // namespace muster::cli
