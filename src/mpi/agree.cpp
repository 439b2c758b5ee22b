#include "mpi/agree.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <muster/error.hpp>

#include "base/narrow.hpp"

namespace muster::mpi {

namespace {

constexpr std::size_t kMaxMessageBytes = 16 << 10;
constexpr std::uint64_t kMaxReports = 256;  // ranks whose messages travel; of more, only that they failed

}  // namespace

void put(ByteWriter& writer, const RankFailure& failure) {
  writer.put(failure.rank);
  writer.put(failure.kind);
  writer.put_text(failure.message);
}

RankFailure get_failure(ByteReader& reader) {
  RankFailure failure;
  failure.rank = reader.get<int>();
  failure.kind = reader.get<ErrorKind>();
  failure.message = reader.get_text();
  return failure;
}

RankFailure failure_of(int rank, const std::exception_ptr& failure) {
  RankFailure report{rank, ErrorKind::internal, {}};
  try {
    std::rethrow_exception(failure);
  } catch (const CollectiveError& error) {
    // Already agreed upon, within a smaller group perhaps.
    report.kind = error.kind();
    report.message = error.what();
  } catch (const Error& error) {
    report.kind = error.kind();
    report.message = error.what();
  } catch (const std::bad_alloc&) {
    report.message = "out of memory";
  } catch (const std::exception& error) {
    report.message = error.what();
  } catch (...) {
    report.message = "an exception that is no std::exception";
  }
  if (report.message.size() > kMaxMessageBytes) {
    report.message.resize(kMaxMessageBytes);
    report.message += "...";
  }
  return report;
}

namespace {

// Ranks that have given up waiting are out of step with the others: nothing more can be agreed upon.
void let_timeouts_pass(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const CollectiveError&) {
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::timeout) throw;
  } catch (...) {  // told to the others by agree()
  }
}

}  // namespace

void agree(const CommView& comm, std::string_view phase, const std::exception_ptr& failure) {
  let_timeouts_pass(failure);
  std::array<std::uint64_t, 1> failed{failure ? std::uint64_t{1} : 0};
  comm.all_sum(failed);
  if (failed[0] == 0) return;

  const auto has_failed = comm.all_gather(failure ? 1 : 0);
  std::vector<RankFailure> reports;
  std::uint64_t told = 0;
  for (int rank = 0; rank < comm.size(); ++rank) {
    if (has_failed[static_cast<std::size_t>(rank)] == 0) continue;
    if (told++ >= kMaxReports) {
      reports.push_back({rank, ErrorKind::internal, "failed too"});
      continue;
    }
    ByteWriter writer;
    if (rank == comm.rank()) put(writer, failure_of(rank, failure));
    auto message = writer.take();
    comm.broadcast(message, rank);
    ByteReader reader(message);
    reports.push_back(get_failure(reader));
  }
  throw CollectiveError(std::string(phase), std::move(reports));
}

}  // namespace muster::mpi
