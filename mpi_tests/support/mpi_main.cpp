// main() of tests that run on several ranks: every rank runs every test; the first failing rank fails the run.

#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/selection.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace {

// Ranks other than 0 stay silent unless something fails there.
class QuietPrinter : public testing::EmptyTestEventListener {
 public:
  explicit QuietPrinter(int rank) : rank_(rank) {}
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "rank %d: %s:%d: failure\n%s\n", rank_, result.file_name() ? result.file_name() : "?",
                 result.line_number(), result.summary());
  }

 private:
  int rank_;
};

// MUSTER_TEST_THREADS=single, funneled, serialized: as a program that asked MPI for less.
int wanted_level() {
  const char* wanted = std::getenv("MUSTER_TEST_THREADS");
  const std::string name = wanted != nullptr ? wanted : "multiple";
  if (name == "single") return MPI_THREAD_SINGLE;
  if (name == "funneled") return MPI_THREAD_FUNNELED;
  if (name == "serialized") return MPI_THREAD_SERIALIZED;
  return MPI_THREAD_MULTIPLE;
}

// What MPI allocates while it starts is its own.
void start_mpi(int& argc, char**& argv) {
#ifdef __SANITIZE_ADDRESS__
  const __lsan::ScopedDisabler disabler;
#endif
  int provided = 0;
  MPI_Init_thread(&argc, &argv, wanted_level(), &provided);
}

// Looks for leaks now and not when the process ends: by then MPI has unloaded its plugins, and what they keep could not
// be told from what muster lost.
void check_for_leaks() {
#ifdef __SANITIZE_ADDRESS__
  __lsan_do_leak_check();
#endif
}

}  // namespace

int main(int argc, char** argv) {
  start_mpi(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new QuietPrinter(rank));
  }
  int failed = muster::test::select_tests(argc, argv) ? RUN_ALL_TESTS() : 1;
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    std::fprintf(stderr, "rank %d: no test was selected\n", rank);
    failed = 1;
  }
  int any = 0;
  MPI_Allreduce(&failed, &any, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
  check_for_leaks();
  MPI_Finalize();
  return any;
}
