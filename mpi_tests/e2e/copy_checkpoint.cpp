// Loads the newest checkpoint of a directory, whatever it contains, and saves the same state in another directory. Each
// rank takes a part of every tensor. Usage: copy_checkpoint FROM TO (on any number of ranks)

#include <iostream>
#include <list>
#include <muster/muster.hpp>
#include <vector>

namespace {

void copy(const char* from, const char* to) {
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  muster::State state;
  std::list<std::vector<std::byte>> memory;
  muster::Checkpointer source(MPI_COMM_WORLD, from);
  const auto report = source.load({}, [&](const muster::CheckpointContents& contents) {
    state = {};  // of a damaged checkpoint
    for (const auto& [path, dtype, shape] : contents.tensors) {
      const auto count = muster::chunk(muster::element_count(shape), rank, ranks).count;
      auto& bytes = memory.emplace_back(count * muster::item_bytes(dtype));
      state.add_mutable(path, dtype, shape, bytes.data(), muster::split_flat(shape, rank, ranks));
    }
    return muster::LoadTarget{.state = state};
  });
  for (const auto& [path, value] : report.contents.documents) {
    if (path != "/user_content") state.add(muster::Document{.path = path, .value = value});
  }
  muster::Checkpointer(MPI_COMM_WORLD, to)
      .save(state, {.tag = report.contents.tag, .user_content = report.user_content.value_or(nullptr)});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: copy_checkpoint FROM TO\n";
    return 2;
  }
  MPI_Init(&argc, &argv);
  copy(argv[1], argv[2]);
  MPI_Finalize();
}
