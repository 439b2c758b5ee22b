#include "model/catalog_bytes.hpp"

#include "model/shape_bytes.hpp"

namespace muster {

Bytes pack(const Catalog& catalog) {
  ByteWriter writer;
  const auto& run = catalog.run;
  writer.put_text(run.tag);
  writer.put(run.step.has_value());
  writer.put(run.step.value_or(0));
  writer.put(run.sequence);
  writer.put(run.world_size);
  writer.put(run.payload_bytes);
  writer.put(run.file_bytes);
  writer.put(catalog.head_bytes);
  writer.put(catalog.tables_bytes);
  writer.put(std::uint64_t{catalog.tensors.size()});
  for (const auto& tensor : catalog.tensors) {
    writer.put_text(tensor.path);
    writer.put(tensor.dtype);
    put_shape(writer, tensor.shape);
    writer.put(tensor.bytes);
    writer.put(tensor.offset);
    put_shape(writer, tensor.chunk_shape);
  }
  writer.put(std::uint64_t{catalog.documents.size()});
  for (const auto& document : catalog.documents) {
    writer.put_text(document.path);
    writer.put_text(document.text);
  }
  writer.put(std::uint64_t{catalog.extents.size()});
  for (const auto& extent : catalog.extents) {
    writer.put(extent.tensor);
    writer.put(extent.writer);
    writer.put(extent.offset);
    writer.put(extent.bytes);
    writer.put(extent.hash);
  }
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
  run.world_size = reader.get<int>();
  run.payload_bytes = reader.get<std::uint64_t>();
  run.file_bytes = reader.get<std::uint64_t>();
  catalog.head_bytes = reader.get<std::uint64_t>();
  catalog.tables_bytes = reader.get<std::uint64_t>();
  catalog.tensors.resize(reader.get<std::uint64_t>());
  for (auto& tensor : catalog.tensors) {
    tensor.path = reader.get_text();
    tensor.dtype = reader.get<DType>();
    tensor.shape = get_shape(reader);
    tensor.bytes = reader.get<std::uint64_t>();
    tensor.offset = reader.get<std::uint64_t>();
    tensor.chunk_shape = get_shape(reader);
  }
  catalog.documents.resize(reader.get<std::uint64_t>());
  for (auto& document : catalog.documents) {
    document.path = reader.get_text();
    document.text = reader.get_text();
  }
  catalog.extents.resize(reader.get<std::uint64_t>());
  for (auto& extent : catalog.extents) {
    extent.tensor = reader.get<std::uint32_t>();
    extent.writer = reader.get<int>();
    extent.offset = reader.get<std::uint64_t>();
    extent.bytes = reader.get<std::uint64_t>();
    extent.hash = reader.get<std::uint64_t>();
  }
  return catalog;
}

}  // namespace muster
