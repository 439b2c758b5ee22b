#pragma once
// The tests of a folder are one executable; ctest runs it for one source file at a time.

namespace muster::test {

// Local. Takes the argument `--file=NAME` out of argv and makes GoogleTest run the tests of the source file NAME.cpp
// only. Called after testing::InitGoogleTest. Returns false, and says why on stderr, if no test is left to run.
bool select_tests(int& argc, char** argv);

}  // namespace muster::test
