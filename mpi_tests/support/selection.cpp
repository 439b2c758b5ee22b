#include "support/selection.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace muster::test {

namespace {

// The names of all tests of a source file, as a filter of GoogleTest.
std::string filter_of(std::string_view file) {
  std::string filter;
  const auto& tests = *testing::UnitTest::GetInstance();
  for (int i = 0; i < tests.total_test_suite_count(); ++i) {
    const auto& suite = *tests.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const auto& test = *suite.GetTestInfo(j);
      if (std::filesystem::path(test.file()).stem() != file) continue;
      filter += std::string(suite.name()) + "." + test.name() + ":";
    }
  }
  return filter;
}

}  // namespace

bool select_tests(int& argc, char** argv) {
  constexpr std::string_view kOption = "--file=";
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto found = std::ranges::find_if(
      arguments, [&](const char* argument) { return std::string_view(argument).starts_with(kOption); });
  if (found == arguments.end()) return true;
  const std::string file = *found + kOption.size();
  std::move(std::next(found), arguments.end(), found);
  --argc;
  const auto filter = filter_of(file);
  if (filter.empty()) {
    std::fprintf(stderr, "%s has no test of the source file %s.cpp\n", argv[0], file.c_str());
    return false;
  }
  testing::GTEST_FLAG(filter) = filter;
  return true;
}

}  // namespace muster::test
