// main() of tests that run on several ranks: every rank runs every test; the first failing rank fails the run.

#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>

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

// What MPI keeps is no leak of ours, and its plugins are unloaded before anybody could name them in a report.
template <class Call>
void without_leak_check(Call&& call) {
#ifdef __SANITIZE_ADDRESS__
  const __lsan::ScopedDisabler disabler;
#endif
  call();
}

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  without_leak_check([&] { MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided); });
  testing::InitGoogleTest(&argc, argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new QuietPrinter(rank));
  }
  int failed = RUN_ALL_TESTS();
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    std::fprintf(stderr, "rank %d: no test was selected\n", rank);
    failed = 1;
  }
  int any = 0;
  MPI_Allreduce(&failed, &any, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
  without_leak_check([] { MPI_Finalize(); });
  return any;
}
