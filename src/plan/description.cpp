#include "plan/description.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <muster/error.hpp>
#include <string>
#include <string_view>

#include "base/narrow.hpp"
#include "model/layout.hpp"
#include "model/shard_boxes.hpp"

namespace muster::plan {

namespace {

// What is wrong with one tensor, or nothing.
std::string fault_of(const Tensor& tensor) {
  const auto& shape = tensor.description.shape;
  if (shape.size() > kMaxDims) return std::to_string(shape.size()) + " dims, more than " + std::to_string(kMaxDims);
  try {
    const auto& memory = tensor.memory;
    if (tensor.description.dtype == DType::text) {
      const auto elements = element_count(shape);
      if (shape.size() != 1 || elements == 0 || elements > kMaxExtentBytes) {
        return fmt::format("a text has one dimension of 1 to {} bytes", kMaxExtentBytes);
      }
      const auto held = elements_held(tensor.description.shard, shape);
      if (held != 0 && held != elements) return "a text is held by one rank as a whole";
    }
    const bool has_memory = memory.data != nullptr || memory.read || memory.write;
    if (elements_held(tensor.description.shard, shape) > 0 && !has_memory) return "no memory behind it";
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

std::string_view section_of(const ShardDescription& description) {
  return std::string_view(description.path).substr(0, description.path.find('/', 1));
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

namespace {

void put_shard(ByteWriter& writer, const Shard& shard) {
  writer.put(shard.kind());
  writer.put(shard.first_element());
  writer.put(shard.count());
  writer.put(std::uint64_t{shard.boxes().size()});
  for (const auto& box : shard.boxes()) {
    writer.put_list(box.offset);
    writer.put_list(box.shape);
  }
}

Shard get_shard(ByteReader& reader) {
  const auto kind = reader.get<Shard::Kind>();
  const auto first = reader.get<std::uint64_t>();
  const auto elements = reader.get<std::uint64_t>();
  std::vector<Box> boxes(reader.get<std::uint64_t>());
  for (auto& [offset, shape] : boxes) {
    offset = reader.get_list<std::uint64_t>();
    shape = reader.get_list<std::uint64_t>();
  }
  switch (kind) {
    case Shard::Kind::whole:
      break;
    case Shard::Kind::flat:
      return Shard::flat(first, elements);
    case Shard::Kind::block:
      return Shard::block(std::move(boxes.at(0).offset), std::move(boxes.at(0).shape));
    case Shard::Kind::blocks:
      return Shard::blocks(std::move(boxes));
  }
  return Shard::whole();
}

std::string text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

// Thousands of ranks may each have such a message for all others: of a path travels what differs from the one before,
// and of what, beside the path, several tensors have in common, the number of the first of them.
Bytes pack(const std::vector<ShardDescription>& descriptions) {
  ByteWriter writer;
  writer.put(narrow<std::uint32_t>(descriptions.size()));
  std::map<std::string, std::uint32_t> parts;
  std::string_view before;
  for (const auto& description : descriptions) {
    const std::string_view path = description.path;
    const auto shared = std::min<std::size_t>(common_prefix(before, path), std::numeric_limits<std::uint16_t>::max());
    writer.put(static_cast<std::uint16_t>(shared));
    writer.put_text(path.substr(shared));
    before = path;
    ByteWriter part;
    part.put(description.dtype);
    part.put_list(description.shape);
    put_shard(part, description.shard);
    const auto [known, added] = parts.try_emplace(text_of(part.bytes()), narrow<std::uint32_t>(parts.size()));
    writer.put(known->second);
    if (!added) continue;
    for (const auto byte : part.bytes()) writer.put(byte);
  }
  return writer.take();
}

std::vector<ShardDescription> unpack(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  std::vector<ShardDescription> descriptions(reader.get<std::uint32_t>());
  std::vector<const ShardDescription*> parts;  // the first of each
  std::string_view before;
  for (auto& description : descriptions) {
    const auto shared = reader.get<std::uint16_t>();
    description.path = std::string(before.substr(0, shared)) + reader.get_text();
    before = description.path;
    const auto part = reader.get<std::uint32_t>();
    if (part < parts.size()) {
      description.dtype = parts[part]->dtype;
      description.shape = parts[part]->shape;
      description.shard = parts[part]->shard;
    } else {
      description.dtype = reader.get<DType>();
      description.shape = reader.get_list<std::uint64_t>();
      description.shard = get_shard(reader);
      parts.push_back(&description);
    }
  }
  return descriptions;
}

std::vector<Bytes> pack_for_exchange(const Described& described) {
  std::vector<Bytes> packed;
  if (!described.whole.empty()) packed.push_back(pack(described.whole));
  // By path, but for "/a!b", which sorts between "/a" and "/a/b": then a section comes in more than one packed.
  for (auto first = described.parts.begin(); first != described.parts.end();) {
    const auto last = std::find_if(first, described.parts.end(),
                                   [&](const auto& part) { return section_of(part) != section_of(*first); });
    packed.push_back(pack({first, last}));
    first = last;
  }
  return packed;
}

}  // namespace muster::plan
