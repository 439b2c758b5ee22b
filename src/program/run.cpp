#include "program/run.hpp"

#include <fmt/format.h>
#include <mpi.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "program/command_line.hpp"
#include "program/exit_code.hpp"

namespace muster::program {

namespace {

int rank_by_mpi = -1;  // -1: not known

const char* launcher_variable() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* rank = std::getenv(variable); rank != nullptr) return rank;
  }
  return nullptr;
}

class MpiLibrary {
 public:
  MpiLibrary() {
    int provided = MPI_THREAD_SINGLE;
    mpi::check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    mpi::check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_by_mpi), "MPI_Comm_rank");
  }
  ~MpiLibrary() { MPI_Finalize(); }
  MpiLibrary(const MpiLibrary&) = delete;
  MpiLibrary& operator=(const MpiLibrary&) = delete;
};

void print_error(const std::string& message) { fmt::print(stderr, "{}: {}\n", program_invocation_short_name, message); }

int tell(ErrorKind kind, const std::string& message, const std::string& command = {}) {
  const auto* const space = command.empty() ? "" : " ";
  const auto hint = fmt::format(" (see {}{}{} --help)", program_invocation_short_name, space, command);
  if (own_rank() == 0) print_error(message + (kind == ErrorKind::usage ? hint : ""));
  return exit_code(kind);
}

}  // namespace

bool was_launched() { return launcher_variable() != nullptr; }

int own_rank() {
  if (rank_by_mpi >= 0) return rank_by_mpi;
  const char* rank = launcher_variable();
  return rank != nullptr ? std::atoi(rank) : 0;
}

int run_program(const std::function<int()>& work) {
  try {
    const int code = work();
    if (std::fflush(stdout) != 0) throw Error(ErrorKind::io, "cannot write to standard output");
    return code;
  } catch (const UsageError& error) {
    return tell(error.kind(), error.what(), error.command());
  } catch (const Error& error) {
    return tell(error.kind(), error.what());
  } catch (const std::exception& error) {
    return tell(ErrorKind::internal, error.what());
  }
}

int run_on_ranks(double timeout_s, const std::function<int(const mpi::CommView&)>& work) {
  const MpiLibrary library;
  const auto owner = mpi::Comm::duplicate(MPI_COMM_WORLD);
  const auto comm = owner.view(timeout_s);
  try {
    return work(comm);
  } catch (const AgreedError&) {
    throw;
  } catch (const CollectiveError&) {
    throw;
  } catch (...) {
    if (comm.size() == 1) throw;
    const auto failure = mpi::failure_of(comm.rank(), std::current_exception());
    print_error(fmt::format("rank {}: {}", failure.rank, failure.message));
    MPI_Abort(MPI_COMM_WORLD, exit_code(failure.kind));
    std::abort();  // not reached
  }
}

}  // namespace muster::program
