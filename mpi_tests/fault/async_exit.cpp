// A program that ends with a background save in flight.
//   async_exit DIR exit|finalize|shared|destructor
//   exit        exit() while a Checkpointer of its own has one in flight, before MPI_Finalize
//   finalize    MPI_Finalize while that Checkpointer lives
//   shared      MPI_Finalize after a free function began it
//   destructor  the Checkpointer goes first

#include <mpi.h>

#include <cstdlib>
#include <memory>
#include <muster/muster.hpp>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string directory = argv[1];
  const std::string mode = argv[2];
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  const std::vector<float> values(16 << 20, 1.5F);
  muster::State state;
  state.add("/model/t", muster::DType::float32, {values.size()}, values.data());
  // Slow enough to be in flight when the program ends.
  const muster::SaveOptions options{.tag = mode, .async = {.write_limit_bytes_per_s = 128 << 20}};
  if (mode == "shared") {
    muster::shared_checkpointer(MPI_COMM_WORLD, directory).save_async(state, options);
    MPI_Finalize();
    return 0;
  }
  // Never destroyed but in the mode that says so.
  auto* checkpointer = new muster::Checkpointer(MPI_COMM_WORLD, directory);
  checkpointer->save_async(state, options);
  if (mode == "exit") std::exit(0);
  if (mode == "destructor") delete checkpointer;
  MPI_Finalize();
  return 0;
}
