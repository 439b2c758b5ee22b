#include "engine/memcpy_speed.hpp"

#include <cstring>
#include <utility>

#include "base/clock.hpp"

namespace muster::engine {

double memcpy_bytes_per_s(StagingPool& pool) {
  auto from = pool.take();
  auto to = pool.take();
  const auto bytes = from.size();
  std::memset(from.bytes().data(), 1, bytes);
  std::memset(to.bytes().data(), 2, bytes);
  constexpr int kTurns = 4;
  const Stopwatch watch;
  for (int turn = 0; turn < kTurns; ++turn) {
    const auto& source = turn % 2 == 0 ? from : to;
    const auto& target = turn % 2 == 0 ? to : from;
    std::memcpy(target.bytes().data(), source.bytes().data(), bytes);
  }
  const double seconds = watch.seconds();
  pool.give_back(std::move(from));
  pool.give_back(std::move(to));
  return static_cast<double>(bytes) * kTurns / seconds;
}

}  // namespace muster::engine
