#include "bench/ranks.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <string>
#include <thread>

#include "mpi/check.hpp"

namespace muster::bench {

namespace {

Bytes to_bytes(const nlohmann::json& value) {
  const auto text = value.dump();
  const auto bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

nlohmann::json from_bytes(const Bytes& bytes) {
  const auto* first = reinterpret_cast<const char*>(bytes.data());
  return nlohmann::json::parse(first, first + bytes.size());
}

void take_larger(nlohmann::json& most, const nlohmann::json& other) {
  if (most.is_null() || (!other.is_object() && most < other)) {
    most = other;
  } else if (other.is_object()) {
    for (const auto& [name, value] : other.items()) take_larger(most[name], value);
  }
}

}  // namespace

double max_over_ranks(const mpi::CommView& comm, double value) {
  double most = value;
  for (const auto bits : comm.all_gather(std::bit_cast<std::uint64_t>(value))) {
    most = std::max(most, std::bit_cast<double>(bits));
  }
  return most;
}

nlohmann::json max_over_ranks(const mpi::CommView& comm, const nlohmann::json& values) {
  auto most = nlohmann::json::object();
  for (const auto& bytes : comm.gather(to_bytes(values))) take_larger(most, from_bytes(bytes));
  return most;
}

nlohmann::json broadcast_json(const mpi::CommView& comm, const nlohmann::json& value) {
  auto bytes = to_bytes(value);
  comm.broadcast(bytes, 0);
  return from_bytes(bytes);
}

void quiet_barrier(const mpi::CommView& comm) {
  MPI_Request request = MPI_REQUEST_NULL;
  mpi::check(MPI_Ibarrier(comm.handle(), &request), "MPI_Ibarrier");
  for (;;) {
    int done = 0;
    mpi::check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace muster::bench
