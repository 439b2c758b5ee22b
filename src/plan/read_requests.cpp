#include "plan/read_requests.hpp"

#include <map>
#include <string_view>
#include <utility>

namespace muster::plan {

std::vector<Bytes> pack_for_exchange(const Layout& layout, const std::vector<ReadRequest>& requests) {
  std::map<std::pair<bool, std::string_view>, ByteWriter> writers;  // whether of parts, and the section
  for (const auto& request : requests) {
    const auto& tensor = layout.tensors[request.tensor];
    const std::string_view path = tensor.path;
    auto& writer = writers[{request.bytes != tensor.bytes, path.substr(0, path.find('/', 1))}];
    // One by one: the padding of a ReadRequest differs from rank to rank.
    writer.put(request.tensor);
    writer.put(request.offset);
    writer.put(request.bytes);
  }
  std::vector<Bytes> packed;
  for (auto& [kind, writer] : writers) packed.push_back(writer.take());
  return packed;
}

std::vector<ReadRequest> unpack_requests(std::span<const std::byte> bytes) {
  std::vector<ReadRequest> requests;
  for (ByteReader reader(bytes); !reader.at_end();) {
    auto& request = requests.emplace_back();
    request.tensor = reader.get<std::uint32_t>();
    request.offset = reader.get<std::uint64_t>();
    request.bytes = reader.get<std::uint64_t>();
  }
  return requests;
}

}  // namespace muster::plan
