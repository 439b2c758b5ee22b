#pragma once
// What ranks of a test compare with each other. Every function is collective over the communicator it gets.

#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <muster/error.hpp>
#include <optional>
#include <string>

namespace muster::test {

// Whether all ranks bring the same text.
bool same_everywhere(const std::string& text, MPI_Comm comm = MPI_COMM_WORLD);

// The files of a directory by name (hidden ones too) with a hash of their bytes, as they stand now on all ranks.
std::map<std::string, std::uint64_t> snapshot(const std::filesystem::path& directory, MPI_Comm comm = MPI_COMM_WORLD);

// Runs the call, which must throw the same CollectiveError of this kind and phase on every rank; the error.
template <class Call>
CollectiveError collective_error(ErrorKind kind, const std::string& phase, Call&& call,
                                 MPI_Comm comm = MPI_COMM_WORLD) {
  std::optional<CollectiveError> caught;
  try {
    call();
  } catch (const CollectiveError& error) {
    caught = error;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "no CollectiveError: " << error.what();
  }
  if (!caught) {
    ADD_FAILURE() << "no error; expected one of kind " << name(kind) << " in phase " << phase;
    caught.emplace("none", std::vector<RankFailure>{{0, ErrorKind::internal, "no error"}});
  } else {
    EXPECT_EQ(name(caught->kind()), name(kind)) << caught->what();
    EXPECT_EQ(caught->phase(), phase) << caught->what();
  }
  EXPECT_TRUE(same_everywhere(caught->what(), comm)) << caught->what();
  return *caught;
}

}  // namespace muster::test
