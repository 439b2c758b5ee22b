#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "base/posix.hpp"
#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "h5/catalog_reader.hpp"

namespace muster::cli {

namespace {

using nlohmann::json;

// Tensors that belong together, for example those of one model.
struct TensorGroup {
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
};

using TensorGroups = std::map<std::string, TensorGroup>;

template <class NameOf>
TensorGroups group_by(const Catalog& catalog, NameOf&& name_of) {
  TensorGroups groups;
  for (const auto& tensor : catalog.tensors) {
    auto& group = groups[name_of(tensor)];
    ++group.tensors;
    group.bytes += tensor.bytes;
  }
  return groups;
}

TensorGroups sections_of(const Catalog& catalog) {
  return group_by(catalog, [](const auto& tensor) { return tensor.path.substr(0, tensor.path.find('/', 1)); });
}

// By object: /model, /models/<name>, /tensors/<name> and so on. What each rank has for itself is one group for all.
TensorGroups objects_of(const Catalog& catalog) {
  std::set<std::string> lists;
  for (const auto& tensor : catalog.tensors) {
    if (tensor.path.ends_with("/size") && tensor.dtype == DType::int64 && tensor.shape.empty()) {
      lists.insert(tensor.path.substr(0, tensor.path.rfind('/')));
    }
  }
  return group_by(catalog, [&](const auto& tensor) {
    auto path = tensor.path;
    const auto end = [&](std::size_t keys) {
      std::size_t slash = 0;
      for (std::size_t i = 0; i < keys && slash != std::string::npos; ++i) slash = path.find('/', slash + 1);
      return slash;
    };
    if (path.starts_with("/tensors/") || path.starts_with("/per_rank/")) {
      const auto parent = path.substr(0, path.rfind('/'));
      if (lists.contains(parent)) path = parent;
      return path.starts_with("/tensors/") ? path : "/per_rank/*" + path.substr(std::min(end(2), path.size()));
    }
    const bool is_named = path.starts_with("/models/") || path.starts_with("/optimizers/");
    return path.substr(0, end(is_named ? 2 : 1));
  });
}

// The JSON values that each rank has for itself, by path. They lie in the payload.
std::map<std::string, std::string> texts_of_ranks(const std::filesystem::path& path, const Catalog& catalog) {
  std::map<std::string, std::string> texts;
  const posix::File file(path, O_RDONLY);
  for (const auto& tensor : catalog.tensors) {
    if (tensor.dtype != DType::text) continue;
    std::string text(tensor.bytes, '\0');
    file.read_at(std::as_writable_bytes(std::span(text)), tensor.offset);
    text.resize(text.find('\0') == std::string::npos ? text.size() : text.find('\0'));
    texts[tensor.path] = std::move(text);
  }
  return texts;
}

// The ranks that wrote each tensor: "0,2".
std::vector<std::string> writers_of_tensors(const Catalog& catalog) {
  std::vector<std::set<int>> writers(catalog.tensors.size());
  for (const auto& extent : catalog.extents) writers[extent.tensor].insert(extent.writer);
  std::vector<std::string> texts;
  for (const auto& ranks : writers) texts.push_back(fmt::format("{}", fmt::join(ranks, ",")));
  return texts;
}

// The documents' text is JSON already; what does not parse is shown as it is.
json document_value(const std::string& text) {
  auto value = json::parse(text, nullptr, false);
  return value.is_discarded() ? json(text) : value;
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
  for (const auto& [name, object] : objects_of(catalog)) {
    all["objects"][name] = {{"tensors", object.tensors}, {"bytes", object.bytes}};
  }
  for (const auto& [path, text] : catalog.documents) all["documents"][path] = document_value(text);
  for (const auto& [path, text] : texts_of_ranks(file, catalog)) all["documents"][path] = document_value(text);
  for (const auto& row : catalog.telemetry) {
    json line{{"rank", row.rank}, {"node", row.node}, {"bytes", row.bytes}};
    for (const auto phase : kTimedPhases) line[std::string(name(phase)) + "_s"] = row.seconds[phase];
    all["telemetry"].push_back(std::move(line));
  }
  if (!with_tensors) return all;
  all["tensors"] = json::array();
  const auto writers = writers_of_tensors(catalog);
  for (std::uint32_t i = 0; i < catalog.tensors.size(); ++i) {
    const auto& tensor = catalog.tensors[i];
    all["tensors"].push_back({{"path", tensor.path},
                              {"dtype", name(tensor.dtype)},
                              {"shape", tensor.shape},
                              {"chunk", tensor.chunk_shape.empty() ? json(nullptr) : json(tensor.chunk_shape)},
                              {"bytes", tensor.bytes},
                              {"offset", tensor.offset},
                              {"writers", writers[i]}});
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
  const auto objects = objects_of(catalog);
  std::size_t width = 10;
  for (const auto& object : objects) width = std::max(width, object.first.size());
  for (const auto& [name, object] : objects) {
    fmt::print("  {:<{}} {} tensor{}, {}\n", name, width, object.tensors, object.tensors == 1 ? "" : "s",
               human_bytes(object.bytes));
  }
  for (const auto& [path, text] : catalog.documents) fmt::print("  {}  {}\n", path, text);
  for (const auto& [path, text] : texts_of_ranks(file, catalog)) fmt::print("  {}  {}\n", path, text);

  fmt::print("\n");
  std::vector<std::string> header{"RANK", "NODE", "WROTE"};
  for (const auto phase : kTimedPhases) header.push_back(fmt::format("{} s", program::upper(name(phase))));
  TextTable telemetry(header, {0, 1, 2, 3, 4, 5, 6, 7, 8});
  for (const auto& row : catalog.telemetry) {
    std::vector<std::string> line{std::to_string(row.rank), std::to_string(row.node), human_bytes(row.bytes)};
    for (const auto phase : kTimedPhases) line.push_back(fmt::format("{:.4f}", row.seconds[phase]));
    telemetry.add(line);
  }
  telemetry.print();
  if (!with_tensors) return;

  fmt::print("\n");
  TextTable tensors({"TENSOR", "DTYPE", "SHAPE", "CHUNK", "BYTES", "OFFSET", "WRITERS"}, {4, 5});
  const auto writers = writers_of_tensors(catalog);
  for (std::uint32_t i = 0; i < catalog.tensors.size(); ++i) {
    const auto& tensor = catalog.tensors[i];
    tensors.add({tensor.path, std::string(name(tensor.dtype)), to_string(tensor.shape),
                 tensor.chunk_shape.empty() ? "-" : to_string(tensor.chunk_shape), std::to_string(tensor.bytes),
                 std::to_string(tensor.offset), writers[i]});
  }
  tensors.print();
}

}  // namespace

int show(const Arguments& arguments) {
  Parser parser(
      "muster show PATH [--tag T] [--tensors] [--json]",
      "Shows what a checkpoint contains and how it was saved. PATH is a checkpoint file, or a directory, which stands\n"
      "for the tag that a resume tries first. Checks the head and the tables, and does not read the payload.",
      "path");
  parser.add()("tag", boost::program_options::value<std::string>()->value_name("T"), "this tag of the directory")(
      "tensors", "list every tensor: dtype, shape, chunk shape, bytes, offset in the file, writers");
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
