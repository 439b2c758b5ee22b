#include "plan/description.hpp"

#include <algorithm>
#include <map>
#include <muster/error.hpp>

#include "model/layout.hpp"
#include "model/shard_boxes.hpp"

namespace muster::plan {

namespace {

// What is wrong with one tensor, or nothing.
std::string fault_of(const Tensor& tensor) {
  const auto& [path, dtype, shape, shard] = tensor.description;
  if (shape.size() > kMaxDims) return std::to_string(shape.size()) + " dims, more than " + std::to_string(kMaxDims);
  try {
    const auto& memory = tensor.memory;
    const bool has_memory = memory.data != nullptr || memory.read || memory.write;
    if (elements_held(shard, shape) > 0 && !has_memory) return "no memory behind it";
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// Whether object_path() gives this path.
bool is_object_path(const std::string& path) {
  if (path.empty() || path.front() != '/') return false;
  try {
    std::string again;
    for (const auto& key : object_keys(path)) again += object_path({key});
    return again == path;
  } catch (const Error&) {
    return false;
  }
}

bool is_reserved(const std::string& path) {
  for (const std::string reserved : {kRunPath, kIntegrityPath, kTelemetryPath}) {
    if (path == reserved || path.starts_with(reserved + "/")) return true;
  }
  return false;
}

}  // namespace

void check_state(const State& state) {
  std::vector<std::string> problems;
  std::map<std::string, int> seen;
  for (const auto& tensor : state.tensors()) {
    const auto& path = tensor.description.path;
    ++seen[path];
    if (const auto fault = fault_of(tensor); !fault.empty()) problems.push_back(path + ": " + fault);
  }
  for (const auto& document : state.documents()) ++seen[document.path];
  for (const auto& [path, times] : seen) {
    if (!is_object_path(path)) {
      problems.push_back("'" + path + "' is not a path that object_path() gives");
      continue;
    }
    if (times > 1) problems.push_back(path + ": given " + std::to_string(times) + " times");
    if (std::count(path.begin(), path.end(), '/') > kMaxGroupDepth + 1) {
      problems.push_back(path + ": in more than " + std::to_string(kMaxGroupDepth) + " groups");
    }
    if (is_reserved(path)) problems.push_back(path + ": the name is muster's own");
    for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      if (seen.contains(path.substr(0, slash))) {
        problems.push_back(path + ": " + path.substr(0, slash) + " is a tensor or document itself");
      }
    }
  }
  if (problems.empty()) return;
  std::string text = problems.front();
  for (std::size_t i = 1; i < problems.size(); ++i) text += "; " + problems[i];
  throw Error(ErrorKind::usage, text);
}

Described describe(const State& state) {
  Described described;
  for (const auto& tensor : state.tensors()) {
    auto& list = tensor.description.shard.kind() == Shard::Kind::whole ? described.whole : described.parts;
    list.push_back(tensor.description);
  }
  const auto by_path = [](const auto& a, const auto& b) { return a.path < b.path; };
  std::sort(described.whole.begin(), described.whole.end(), by_path);
  std::sort(described.parts.begin(), described.parts.end(), by_path);
  return described;
}

Bytes pack(const std::vector<TensorDescription>& descriptions) {
  ByteWriter writer;
  const auto put_shape = [&](const Shape& shape) {
    writer.put(std::uint64_t{shape.size()});
    for (const auto dim : shape) writer.put(dim);
  };
  writer.put(std::uint64_t{descriptions.size()});
  for (const auto& description : descriptions) {
    writer.put_text(description.path);
    writer.put(description.dtype);
    put_shape(description.global_shape);
    writer.put(description.shard.kind());
    writer.put(description.shard.first_element());
    writer.put(description.shard.count());
    writer.put(std::uint64_t{description.shard.boxes().size()});
    for (const auto& box : description.shard.boxes()) {
      put_shape(box.offset);
      put_shape(box.shape);
    }
  }
  return writer.take();
}

std::vector<TensorDescription> unpack(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const auto get_shape = [&] {
    Shape shape;
    const auto dims = reader.get<std::uint64_t>();
    for (std::uint64_t dim = 0; dim < dims; ++dim) shape.push_back(reader.get<std::uint64_t>());
    return shape;
  };
  std::vector<TensorDescription> descriptions;
  const auto count = reader.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < count; ++i) {
    TensorDescription description;
    description.path = reader.get_text();
    description.dtype = reader.get<DType>();
    description.global_shape = get_shape();
    const auto kind = reader.get<Shard::Kind>();
    const auto first = reader.get<std::uint64_t>();
    const auto elements = reader.get<std::uint64_t>();
    std::vector<Box> boxes(reader.get<std::uint64_t>());
    for (auto& [offset, shape] : boxes) {
      offset = get_shape();
      shape = get_shape();
    }
    if (kind == Shard::Kind::flat) description.shard = Shard::flat(first, elements);
    if (kind == Shard::Kind::block) {
      description.shard = Shard::block(std::move(boxes.at(0).offset), std::move(boxes.at(0).shape));
    }
    if (kind == Shard::Kind::blocks) description.shard = Shard::blocks(std::move(boxes));
    descriptions.push_back(std::move(description));
  }
  return descriptions;
}

}  // namespace muster::plan
