#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "h5/catalog_reader.hpp"

namespace muster::cli {

namespace {

using nlohmann::json;

struct Section {
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
};

std::map<std::string, Section> sections_of(const Catalog& catalog) {
  std::map<std::string, Section> sections;
  for (const auto& tensor : catalog.tensors) {
    auto& section = sections[tensor.path.substr(0, tensor.path.find('/', 1))];
    ++section.tensors;
    section.bytes += tensor.bytes;
  }
  return sections;
}

std::string writers_of(const Catalog& catalog, std::uint32_t tensor) {
  std::set<int> writers;
  for (const auto& extent : catalog.extents) {
    if (extent.tensor == tensor) writers.insert(extent.writer);
  }
  return fmt::format("{}", fmt::join(writers, ","));
}

// The documents' text is JSON already; what does not parse is shown as it is.
json document_value(const CatalogDocument& document) {
  auto value = json::parse(document.text, nullptr, false);
  return value.is_discarded() ? json(document.text) : value;
}

json as_json(const std::filesystem::path& file, const Catalog& catalog, bool with_tensors) {
  const auto& run = catalog.run;
  json all = run.details.is_object() ? run.details : json::object();
  all["file"] = file.string();
  all["tag"] = run.tag;
  all["step"] = run.step ? json(*run.step) : json(nullptr);
  all["sequence"] = run.sequence;
  all["saved_at"] = run.saved_at;
  all["world_size"] = run.world_size;
  all["payload_bytes"] = run.payload_bytes;
  all["file_bytes"] = run.file_bytes;
  all["head_bytes"] = catalog.head_bytes;
  all["tables_bytes"] = catalog.tables_bytes;
  all["extents"] = catalog.extents.size();
  for (const auto& [name, section] : sections_of(catalog)) {
    all["sections"][name] = {{"tensors", section.tensors}, {"bytes", section.bytes}};
  }
  for (const auto& document : catalog.documents) all["documents"][document.path] = document_value(document);
  for (const auto& row : catalog.telemetry) {
    all["telemetry"].push_back({{"rank", row.rank},
                                {"node", row.node},
                                {"bytes", row.bytes},
                                {"agree_s", row.agree_s},
                                {"plan_s", row.plan_s},
                                {"open_s", row.open_s},
                                {"stage_s", row.stage_s},
                                {"write_s", row.write_s},
                                {"sync_s", row.sync_s}});
  }
  if (!with_tensors) return all;
  all["tensors"] = json::array();
  for (std::uint32_t i = 0; i < catalog.tensors.size(); ++i) {
    const auto& tensor = catalog.tensors[i];
    all["tensors"].push_back({{"path", tensor.path},
                              {"dtype", name(tensor.dtype)},
                              {"shape", tensor.shape},
                              {"chunk", tensor.chunk_shape.empty() ? json(nullptr) : json(tensor.chunk_shape)},
                              {"bytes", tensor.bytes},
                              {"offset", tensor.offset},
                              {"writers", writers_of(catalog, i)}});
  }
  return all;
}

void print_text(const std::filesystem::path& file, const Catalog& catalog, bool with_tensors) {
  const auto& run = catalog.run;
  const auto detail = [&](const char* key) { return run.details.value(key, json("?")); };
  const auto plain = [](const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
  fmt::print("{}\n", file.string());
  fmt::print("  tag        {}\n  step       {}\n  sequence   {}\n  saved at   {}\n", run.tag, or_dash(run.step),
             run.sequence, run.saved_at);
  fmt::print("  generation {}\n", plain(detail("generation")));
  fmt::print("  ranks      {} on {} node(s), grid {}\n", run.world_size, plain(detail("nodes")), detail("grid").dump());
  fmt::print("  engine     {} ({})\n", plain(detail("engine")), plain(detail("engine_reason")));
  fmt::print("  written by muster {}, HDF5 {}, {}\n", plain(detail("muster_version")), plain(detail("hdf5_version")),
             plain(detail("mpi_version")));
  fmt::print("  size       {} in the file, {} of them tensors; head {}, tables {}, {} extents\n",
             human_bytes(run.file_bytes), human_bytes(run.payload_bytes), human_bytes(catalog.head_bytes),
             human_bytes(catalog.tables_bytes), catalog.extents.size());
  for (const auto& [name, section] : sections_of(catalog)) {
    fmt::print("  {:<10} {} tensors, {}\n", name, section.tensors, human_bytes(section.bytes));
  }
  for (const auto& document : catalog.documents) fmt::print("  {}  {}\n", document.path, document.text);

  fmt::print("\n");
  TextTable telemetry({"RANK", "NODE", "WROTE", "AGREE s", "PLAN s", "OPEN s", "STAGE s", "WRITE s", "SYNC s"},
                      {0, 1, 2, 3, 4, 5, 6, 7, 8});
  for (const auto& row : catalog.telemetry) {
    const auto seconds = [](double value) { return fmt::format("{:.4f}", value); };
    telemetry.add({std::to_string(row.rank), std::to_string(row.node), human_bytes(row.bytes), seconds(row.agree_s),
                   seconds(row.plan_s), seconds(row.open_s), seconds(row.stage_s), seconds(row.write_s),
                   seconds(row.sync_s)});
  }
  telemetry.print();
  if (!with_tensors) return;

  fmt::print("\n");
  TextTable tensors({"TENSOR", "DTYPE", "SHAPE", "CHUNK", "BYTES", "OFFSET", "WRITERS"}, {4, 5});
  for (std::uint32_t i = 0; i < catalog.tensors.size(); ++i) {
    const auto& tensor = catalog.tensors[i];
    tensors.add({tensor.path, std::string(name(tensor.dtype)), to_string(tensor.shape),
                 tensor.chunk_shape.empty() ? "-" : to_string(tensor.chunk_shape), std::to_string(tensor.bytes),
                 std::to_string(tensor.offset), writers_of(catalog, i)});
  }
  tensors.print();
}

}  // namespace

int show(const Arguments& arguments) {
  Parser parser(
      "muster show PATH [--tag T] [--tensors] [--json]",
      "Shows what a checkpoint holds and how it was saved. PATH is a directory, meaning the tag that a resume\n"
      "tries first, or a checkpoint file. Head and tables are checked; the payload is not read.",
      "path");
  parser.add()("tag", boost::program_options::value<std::string>(), "this tag of the directory")(
      "tensors",
      "list every tensor: dtype, shape, shape of its chunks (HDF5 chunks) where it lies in such, bytes,\nplace in the "
      "file, ranks that wrote it");
  if (!parser.parse(arguments)) return kFine;
  const auto file = selected_file(parser.path(), parser.get<std::string>("tag"));
  const auto catalog = h5::read_catalog(file);
  if (parser.json()) {
    fmt::print("{}", json_text(as_json(file, catalog, parser.has("tensors"))));
  } else {
    print_text(file, catalog, parser.has("tensors"));
  }
  return kFine;
}

}  // namespace muster::cli
