#include "bench/session.hpp"

#include <fmt/format.h>
#include <mpi.h>

#include <cstdlib>
#include <muster/error.hpp>

#include "bench/exit_code.hpp"
#include "mpi/check.hpp"

namespace muster::bench {

namespace {

constexpr double kTimeoutS = 1800;

class MpiLibrary {
 public:
  MpiLibrary() {
    int provided = MPI_THREAD_SINGLE;
    mpi::check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  }
  ~MpiLibrary() { MPI_Finalize(); }
  MpiLibrary(const MpiLibrary&) = delete;
  MpiLibrary& operator=(const MpiLibrary&) = delete;
};

[[noreturn]] void end_job(int rank, const char* message, ExitCode code) {
  fmt::print(stderr, "muster-bench: rank {}: {}\n", rank, message);
  MPI_Abort(MPI_COMM_WORLD, code);
  std::abort();  // not reached
}

}  // namespace

int run_in_session(const std::function<int(const mpi::CommView&)>& work) {
  const MpiLibrary library;
  const auto owner = mpi::Comm::duplicate(MPI_COMM_WORLD);
  const auto comm = owner.view(kTimeoutS);
  try {
    return work(comm);
  } catch (const CollectiveError&) {
    throw;
  } catch (const Error& error) {
    end_job(comm.rank(), error.what(), exit_code(error.kind()));
  } catch (const std::exception& error) {
    end_job(comm.rank(), error.what(), kNoAccess);
  }
}

}  // namespace muster::bench
