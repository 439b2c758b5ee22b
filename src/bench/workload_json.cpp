#include "bench/workload_json.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <muster/error.hpp>
#include <set>
#include <span>

#include "base/posix.hpp"
#include "model/dtypes.hpp"

namespace muster::bench {

namespace {

DType dtype_named(const std::string& text) {
  for (const auto dtype : kAllDTypes) {
    if (name(dtype) == text) return dtype;
  }
  throw Error(ErrorKind::usage, "there is no dtype '" + text + "'");
}

TensorSpec tensor_from_json(const nlohmann::json& entry) {
  TensorSpec tensor{entry.at("path").get<std::string>(), dtype_named(entry.at("dtype").get<std::string>()), {}};
  for (const auto& size : entry.at("shape")) {
    if (!size.is_number_unsigned()) throw Error(ErrorKind::usage, "a size of the shape is no number from 0 up");
    tensor.shape.push_back(size.get<std::uint64_t>());
  }
  if (!tensor.path.starts_with('/') || object_keys(tensor.path).empty()) {
    throw Error(ErrorKind::usage, "the path '" + tensor.path + "' does not look like /model/KEY");
  }
  static_cast<void>(tensor.bytes());  // throws where it is more than any memory holds
  return tensor;
}

}  // namespace

Workload workload_from_json(const std::string& name, const nlohmann::json& list) {
  if (!list.is_array() || list.empty()) {
    throw Error(ErrorKind::usage,
                name + R"(: a workload is a list of {"path", "dtype", "shape"} with one entry or more)");
  }
  Workload workload{name, {}};
  std::set<std::string> paths;
  for (std::size_t i = 0; i < list.size(); ++i) {
    try {
      workload.tensors.push_back(tensor_from_json(list[i]));
      if (!paths.insert(workload.tensors.back().path).second) throw Error(ErrorKind::usage, "its path comes twice");
    } catch (const std::exception& error) {
      throw Error(ErrorKind::usage, fmt::format("{}: entry {}: {}", name, i, error.what()));
    }
  }
  if (workload.payload_bytes() == 0) throw Error(ErrorKind::usage, name + ": all of its tensors are empty");
  return workload;
}

Workload read_workload(const std::filesystem::path& file) {
  const posix::File source(file, O_RDONLY);
  std::string text(source.size(), '\0');
  source.read_at(std::as_writable_bytes(std::span(text)), 0);
  const auto list = nlohmann::json::parse(text, nullptr, false);
  if (list.is_discarded()) throw Error(ErrorKind::usage, file.string() + " is not JSON");
  return workload_from_json(file.filename().string(), list);
}

nlohmann::json workload_to_json(const Workload& workload, const std::vector<int>& holders) {
  auto list = nlohmann::json::array();
  for (std::size_t i = 0; i < workload.tensors.size(); ++i) {
    const auto& tensor = workload.tensors[i];
    list.push_back(
        {{"path", tensor.path}, {"dtype", name(tensor.dtype)}, {"shape", tensor.shape}, {"holder", holders[i]}});
  }
  return list;
}

}  // namespace muster::bench
