#include "plan/want_portions.hpp"

#include <map>
#include <string_view>
#include <utility>

namespace muster::plan {

std::vector<Bytes> pack_want_portions(const Catalog& catalog, const std::vector<Want>& wants) {
  std::map<std::pair<bool, std::string_view>, ByteWriter> writers;  // whether of parts, and the section
  for (const auto& want : wants) {
    const auto& tensor = catalog.tensors[want.tensor];
    const std::string_view path = tensor.path;
    auto& writer = writers[{want.bytes != tensor.bytes, path.substr(0, path.find('/', 1))}];
    // One by one: the padding of a Want differs from rank to rank.
    writer.put(want.tensor);
    writer.put(want.first_byte);
    writer.put(want.bytes);
  }
  std::vector<Bytes> portions;
  for (auto& [kind, writer] : writers) portions.push_back(writer.take());
  return portions;
}

std::vector<Want> unpack_wants(std::span<const std::byte> bytes) {
  std::vector<Want> wants;
  for (ByteReader reader(bytes); !reader.at_end();) {
    auto& want = wants.emplace_back();
    want.tensor = reader.get<std::uint32_t>();
    want.first_byte = reader.get<std::uint64_t>();
    want.bytes = reader.get<std::uint64_t>();
  }
  return wants;
}

}  // namespace muster::plan
