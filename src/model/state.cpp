#include <muster/state.hpp>
#include <utility>

namespace muster {

namespace {

Tensor dense(std::string path, DType dtype, Shape global_shape, void* data, Shard shard) {
  return {.description = {{std::move(path), dtype, std::move(global_shape)}, std::move(shard)},
          .memory = {.data = static_cast<std::byte*>(data), .read = {}, .write = {}}};
}

}  // namespace

void State::add(std::string path, DType dtype, Shape global_shape, const void* data, Shard shard) {
  // A state that is only saved is only read from.
  add(dense(std::move(path), dtype, std::move(global_shape), const_cast<void*>(data), std::move(shard)));
}

void State::add_mutable(std::string path, DType dtype, Shape global_shape, void* data, Shard shard) {
  add(dense(std::move(path), dtype, std::move(global_shape), data, std::move(shard)));
}

void State::add(Tensor tensor) { tensors_.push_back(std::move(tensor)); }

void State::add(Document document) { documents_.push_back(std::move(document)); }

}  // namespace muster
