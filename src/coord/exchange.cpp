#include "coord/exchange.hpp"

#include <fmt/format.h>

#include <array>
#include <map>
#include <muster/error.hpp>

#include "base/hash.hpp"
#include "base/rank_text.hpp"
#include "mpi/agree.hpp"

namespace muster::coord {

namespace {

bool all_equal(const mpi::CommView& comm, std::uint64_t value) {
  std::array<std::uint64_t, 2> low_high{value, ~value};
  comm.all_min(low_high);
  return low_high[0] == ~low_high[1];
}

RankSet everyone(const mpi::CommView& comm) {
  RankSet ranks;
  for (int rank = 0; rank < comm.size(); ++rank) ranks.push_back(rank);
  return ranks;
}

}  // namespace

std::vector<Saying> all_sayings(const mpi::CommView& comm, const Bytes& mine) {
  const auto hash = hash_bytes(mine);
  if (all_equal(comm, hash)) return {{everyone(comm), mine}};
  std::vector<Saying> sayings;
  std::map<std::uint64_t, std::size_t> index;
  const auto hashes = comm.all_gather(hash);
  for (int rank = 0; rank < comm.size(); ++rank) {
    const auto [entry, added] = index.try_emplace(hashes[static_cast<std::size_t>(rank)], sayings.size());
    if (added) sayings.emplace_back();
    sayings[entry->second].ranks.push_back(rank);
  }
  for (auto& saying : sayings) {
    const int teller = saying.ranks.front();
    if (teller == comm.rank()) saying.bytes = mine;
    comm.broadcast(saying.bytes, teller);
  }
  return sayings;
}

void require_same(const mpi::CommView& comm, const std::string& phase, const std::string& what,
                  const std::string& text) {
  const auto bytes = as_bytes(text);
  const auto sayings = all_sayings(comm, {bytes.begin(), bytes.end()});
  mpi::run_on_root(comm, phase, [&] {
    if (sayings.size() == 1) return;
    std::string message = "the ranks differ in " + what + ":";
    for (std::size_t i = 0; i < sayings.size(); ++i) {
      const auto& saying = sayings[i];
      const std::string said(reinterpret_cast<const char*>(saying.bytes.data()), saying.bytes.size());
      message += fmt::format("{} {} {} {}", i == 0 ? "" : ";", rank_text(saying.ranks),
                             saying.ranks.size() == 1 ? "passes" : "pass", said);
    }
    throw Error(ErrorKind::mismatch, message);
  });
}

}  // namespace muster::coord
