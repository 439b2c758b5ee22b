#include "model/catalog_bytes.hpp"

namespace muster {

namespace {

void put(ByteWriter& writer, const ByteRange& range) {
  writer.put(range.offset);
  writer.put(range.bytes);
}

void get(ByteReader& reader, ByteRange& range) {
  range.offset = reader.get<std::uint64_t>();
  range.bytes = reader.get<std::uint64_t>();
}

}  // namespace

Bytes pack(const Catalog& catalog) {
  ByteWriter writer;
  const auto& run = catalog.run;
  writer.put_text(run.tag);
  writer.put(run.step.has_value());
  writer.put(run.step.value_or(0));
  writer.put(run.sequence);
  for (const auto number : {catalog.head_bytes, catalog.tables_bytes, catalog.payload_bytes, catalog.file_bytes}) {
    writer.put(number);
  }
  writer.put(catalog.world_size);
  writer.put(std::uint64_t{catalog.tensors.size()});
  for (const auto& tensor : catalog.tensors) {
    writer.put_text(tensor.path);
    writer.put(tensor.dtype);
    writer.put_list(tensor.shape);
    writer.put_list(tensor.chunk_shape);
    put(writer, tensor);
  }
  writer.put(std::uint64_t{catalog.documents.size()});
  for (const auto& [path, text] : catalog.documents) {
    writer.put_text(path);
    writer.put_text(text);
  }
  writer.put(std::uint64_t{catalog.extents.size()});
  for (const auto& extent : catalog.extents) {
    put(writer, extent);
    writer.put(extent.tensor);
    writer.put(extent.writer);
  }
  writer.put_list(catalog.hashes);
  return writer.take();
}

Catalog unpack_catalog(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  Catalog catalog;
  auto& run = catalog.run;
  run.tag = reader.get_text();
  const bool has_step = reader.get<bool>();
  const auto step = reader.get<std::int64_t>();
  if (has_step) run.step = step;
  run.sequence = reader.get<std::uint64_t>();
  for (auto* number : {&catalog.head_bytes, &catalog.tables_bytes, &catalog.payload_bytes, &catalog.file_bytes}) {
    *number = reader.get<std::uint64_t>();
  }
  catalog.world_size = reader.get<int>();
  catalog.tensors.resize(reader.get<std::uint64_t>());
  for (auto& tensor : catalog.tensors) {
    tensor.path = reader.get_text();
    tensor.dtype = reader.get<DType>();
    tensor.shape = reader.get_list<std::uint64_t>();
    tensor.chunk_shape = reader.get_list<std::uint64_t>();
    get(reader, tensor);
  }
  for (auto documents = reader.get<std::uint64_t>(); documents > 0; --documents) {
    auto path = reader.get_text();
    catalog.documents[std::move(path)] = reader.get_text();
  }
  catalog.extents.resize(reader.get<std::uint64_t>());
  for (auto& extent : catalog.extents) {
    get(reader, extent);
    extent.tensor = reader.get<std::uint32_t>();
    extent.writer = reader.get<int>();
  }
  catalog.hashes = reader.get_list<std::uint64_t>();
  return catalog;
}

}  // namespace muster
