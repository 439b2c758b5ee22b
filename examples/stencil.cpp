// Heat in a plate, without LibTorch. Each rank holds a block of one global field. A checkpoint contains the whole
// field, so the job resumes on any other number of ranks, and its result is the same bit by bit.
//
//     mpirun -n 4 stencil
//     mpirun -n 3 stencil    # after the first one was killed: continues, with the blocks of 3 ranks

#include <mpi.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <muster/muster.hpp>
#include <string>
#include <vector>

void simulate(MPI_Comm comm, int ranks) {
  int rank, up, down, left, right, blocks[2] = {0, 0}, at[2], periodic[2] = {0, 0};
  MPI_Dims_create(ranks, 2, blocks);
  MPI_Cart_create(comm, 2, blocks, periodic, 0, &comm);
  MPI_Comm_rank(comm, &rank);
  MPI_Cart_coords(comm, rank, 2, at);
  MPI_Cart_shift(comm, 0, 1, &up, &down);
  MPI_Cart_shift(comm, 1, 1, &left, &right);

  const muster::Shape plate{600, 400};
  const auto rows = muster::chunk(plate[0], at[0], blocks[0]);
  const auto columns = muster::chunk(plate[1], at[1], blocks[1]);
  const int height = rows.count, width = columns.count;
  std::vector<double> field(height * width);

  muster::State state;
  state.add_mutable("/state/field", muster::DType::float64, plate, field.data(),
                    muster::Shard::block({rows.first, columns.first}, {rows.count, columns.count}));
  muster::Checkpointer checkpoints(comm, "stencil-ckpts");
  checkpoints.own();  // ranks of an earlier start that still run cannot publish any more
  std::int64_t step = 0;
  if (checkpoints.latest_tag()) {
    const auto loaded = checkpoints.load({}, muster::LoadTarget{.state = state, .sections = {"state"}});
    step = loaded.user_content->at("step").get<std::int64_t>();
  }

  // The block with one more cell on each side. Those at the edges of the plate never change: the upper edge is hot.
  std::vector<double> padded((height + 2) * (width + 2));
  const auto cell = [&](int row, int column) { return &padded[(row + 1) * (width + 2) + column + 1]; };
  if (up == MPI_PROC_NULL) std::fill_n(cell(-1, 0), width, 100.0);
  MPI_Datatype column_type;
  MPI_Type_vector(height, 1, width + 2, MPI_DOUBLE, &column_type);
  MPI_Type_commit(&column_type);
  const auto exchange = [&](double* from, int to_rank, double* to, int from_rank, int count, MPI_Datatype type) {
    MPI_Sendrecv(from, count, type, to_rank, 0, to, count, type, from_rank, 0, comm, MPI_STATUS_IGNORE);
  };
  for (++step; step <= 1000; ++step) {
    for (int row = 0; row < height; ++row) std::copy_n(&field[row * width], width, cell(row, 0));
    exchange(cell(0, 0), up, cell(height, 0), down, width, MPI_DOUBLE);
    exchange(cell(height - 1, 0), down, cell(-1, 0), up, width, MPI_DOUBLE);
    exchange(cell(0, 0), left, cell(0, width), right, 1, column_type);
    exchange(cell(0, width - 1), right, cell(0, -1), left, 1, column_type);
    for (int i = 0; i < height * width; ++i) {
      const double* here = cell(i / width, i % width);
      field[i] = (here[-1] + here[1] + here[-width - 2] + here[width + 2]) / 4;
    }
    if (step % 100 == 0) {
      if (rank == 0) std::cout << "step " << step << ": the first cell has " << field[0] << std::endl;
      checkpoints.save(state, {.tag = "step_" + std::to_string(step), .user_content = {{"step", step}}});
    }
  }
  MPI_Type_free(&column_type);
  MPI_Comm_free(&comm);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks, status = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  try {
    simulate(MPI_COMM_WORLD, ranks);
  } catch (const muster::CollectiveError& error) {  // the same on all ranks
    if (rank == 0) std::cerr << "stencil: " << error.what() << std::endl;
    status = 1;
  }
  MPI_Finalize();
  return status;
}
