// main() of tests that need no MPI launcher.

#include <gmock/gmock.h>

#include "support/selection.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  return muster::test::select_tests(argc, argv) ? RUN_ALL_TESTS() : 1;
}
