// Saves and loads a State through the installed library, and catches an error of it. Usage: core_only DIRECTORY

#include <cstdio>
#include <muster/muster.hpp>
#include <numeric>
#include <vector>

namespace {

bool run(const char* directory) {
  std::vector<double> values(1000);
  std::iota(values.begin(), values.end(), 0.5);
  muster::State state;
  state.add("/model/values", muster::DType::float64, {10, 100}, values.data());
  muster::save_checkpoint(MPI_COMM_WORLD, directory, state, {.tag = "step_1", .user_content = {{"epoch", 3}}});

  std::vector<double> again(values.size());
  muster::LoadTarget target;
  target.state.add_mutable("/model/values", muster::DType::float64, {10, 100}, again.data());
  const auto report = muster::load_checkpoint(MPI_COMM_WORLD, directory, target);
  return again == values && report.user_content == nlohmann::json({{"epoch", 3}});
}

// Its type is the same on both sides of a shared library.
bool catches_errors(const char* directory) {
  try {
    muster::load_checkpoint(MPI_COMM_WORLD, directory, muster::LoadTarget{}, {.tag = "none"});
  } catch (const muster::CollectiveError& error) {
    return error.kind() == muster::ErrorKind::not_found && !error.failures().empty();
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const bool same = argc == 2 && run(argv[1]) && catches_errors(argv[1]);
  std::puts(same ? "same" : "different");
  MPI_Finalize();
  return same ? 0 : 1;
}
