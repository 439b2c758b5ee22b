#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "h5/catalog_reader.hpp"
#include "store/names.hpp"
#include "store/resume.hpp"
#include "store/verify.hpp"

namespace muster::cli {

namespace {

// Why a tag is not sound down to its payload, or "".
std::string fault_of(const std::filesystem::path& file) {
  const auto result = store::verify(file, h5::read_catalog(file), {});
  return result.damages.empty() ? std::string() : result.damages.front().text();
}

}  // namespace

int latest(const Arguments& arguments) {
  Parser parser(
      "muster latest DIR [--verify] [--json]",
      "Prints the tag that a resume takes: the tag with the largest sequence number whose head and tables are\n"
      "sound, whatever the file `latest` names. A resume also checks the payload, and takes the next older tag if\n"
      "the payload is damaged. --verify does the same here. Warnings go to standard error.\n"
      "Exit code 1 if there is none.",
      "directory");
  parser.add()("verify", "also read and check the payload");
  if (!parser.parse(arguments)) return kFine;
  static_cast<void>(entries_of(parser.path()));  // a directory that cannot be read is an error, not an empty one
  store::Directory directory(parser.path());
  auto order = store::resume_order(directory);
  std::string found;
  for (const auto& tag : order.tags) {
    const auto fault = parser.has("verify") ? fault_of(store::tag_file(directory.path(), tag)) : std::string();
    if (fault.empty()) {
      found = tag;
      break;
    }
    order.warnings.push_back("skipping tag " + tag + ": " + fault);
  }
  if (parser.json()) {
    const nlohmann::json all{{"tag", found.empty() ? nlohmann::json(nullptr) : nlohmann::json(found)},
                             {"file", found.empty() ? "" : store::tag_file(directory.path(), found).string()},
                             {"warnings", order.warnings}};
    fmt::print("{}", json_text(all));
  } else {
    for (const auto& warning : order.warnings) fmt::print(stderr, "muster latest: {}\n", warning);
    if (found.empty()) fmt::print(stderr, "muster latest: no sound checkpoint in {}\n", directory.path().string());
    if (!found.empty()) fmt::print("{}\n", found);
  }
  return found.empty() ? kNotSo : kFine;
}

}  // namespace muster::cli
