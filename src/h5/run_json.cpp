#include "h5/run_json.hpp"

#include <muster/error.hpp>

namespace muster::h5 {

using nlohmann::json;

std::string to_text(const RunInfo& run) {
  json value = run.details.is_object() ? run.details : json::object();
  value["format_version"] = run.format_version;
  value["tag"] = run.tag;
  value["step"] = run.step ? json(*run.step) : json(nullptr);
  value["sequence"] = run.sequence;
  value["saved_at"] = run.saved_at;
  value["world_size"] = run.world_size;
  value["payload_bytes"] = run.payload_bytes;
  value["file_bytes"] = run.file_bytes;
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

RunInfo run_from_text(const std::string& text) {
  try {
    const auto value = json::parse(text);
    RunInfo run;
    run.format_version = value.at("format_version").get<int>();
    run.tag = value.at("tag").get<std::string>();
    if (const auto& step = value.at("step"); !step.is_null()) run.step = step.get<std::int64_t>();
    run.sequence = value.at("sequence").get<std::uint64_t>();
    run.saved_at = value.at("saved_at").get<std::string>();
    run.world_size = value.at("world_size").get<int>();
    run.payload_bytes = value.at("payload_bytes").get<std::uint64_t>();
    run.file_bytes = value.at("file_bytes").get<std::uint64_t>();
    run.details = value;
    for (const char* key :
         {"format_version", "tag", "step", "sequence", "saved_at", "world_size", "payload_bytes", "file_bytes"}) {
      run.details.erase(key);
    }
    return run;
  } catch (const json::exception& error) {
    throw Error(ErrorKind::corrupt, std::string("/run is not the JSON that muster writes: ") + error.what());
  }
}

}  // namespace muster::h5
