#include "coord/exchange.hpp"

#include <fmt/format.h>

#include <array>
#include <muster/error.hpp>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "base/rank_text.hpp"
#include "mpi/agree.hpp"

namespace muster::coord {

namespace {

// What a rank tells of one of its strings before any of them travels.
struct Token {
  std::uint64_t hash = 0;
  std::uint64_t bytes = 0;
  friend bool operator==(const Token&, const Token&) = default;
};
static_assert(sizeof(Token) == 2 * sizeof(std::uint64_t));

constexpr Token kNothing{0, ~std::uint64_t{0}};  // of a rank that passes fewer strings than another

std::vector<Token> tokens_of(const std::vector<Bytes>& mine) {
  std::vector<Token> tokens;
  for (const auto& bytes : mine) tokens.push_back({hash_bytes(bytes), bytes.size()});
  return tokens;
}

// The most strings that a rank passes, or nothing where all ranks pass the same ones.
std::optional<std::size_t> most_where_different(const mpi::CommView& comm, std::span<const Token> mine) {
  const auto hash = hash_bytes(std::as_bytes(mine));
  std::array<std::uint64_t, 3> low_high_most{hash, ~hash, ~std::uint64_t{mine.size()}};
  comm.all_min(low_high_most);
  if (low_high_most[0] == ~low_high_most[1]) return std::nullopt;
  return ~low_high_most[2];
}

// All strings one behind the other, and the sayings that point there.
std::vector<Saying> sayings_in(Bytes strings, std::vector<RankSet> ranks, std::span<const Token> tokens) {
  const auto storage = std::make_shared<const Bytes>(std::move(strings));
  std::vector<Saying> sayings;
  std::size_t start = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    sayings.push_back({std::move(ranks[i]), std::span(*storage).subspan(start, tokens[i].bytes), storage});
    start += tokens[i].bytes;
  }
  return sayings;
}

RankSet everyone(const mpi::CommView& comm) {
  RankSet ranks(static_cast<std::size_t>(comm.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

void append(Bytes& to, const Bytes& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

}  // namespace

std::vector<Saying> all_sayings(const mpi::CommView& comm, const Bytes& mine) { return all_distinct(comm, {mine}); }

std::vector<Saying> all_distinct(const mpi::CommView& comm, const std::vector<Bytes>& mine) {
  auto own = tokens_of(mine);
  const auto most = most_where_different(comm, own);
  Bytes told;
  if (!most) {
    for (const auto& bytes : mine) append(told, bytes);
    return sayings_in(std::move(told), std::vector<RankSet>(mine.size(), everyone(comm)), own);
  }
  own.resize(*most, kNothing);
  const auto numbers = comm.all_gather(std::span(reinterpret_cast<const std::uint64_t*>(own.data()), 2 * own.size()));
  std::vector<Token> tokens;  // of the distinct strings
  std::vector<RankSet> ranks;
  std::vector<std::uint64_t> sizes(static_cast<std::size_t>(comm.size()), 0);  // what each rank tells
  std::unordered_map<std::uint64_t, std::size_t> index;
  for (std::size_t i = 0; 2 * i < numbers.size(); ++i) {
    const Token token{numbers[2 * i], numbers[2 * i + 1]};
    if (token == kNothing) continue;
    const auto rank = i / *most;
    const auto [entry, added] = index.try_emplace(token.hash, tokens.size());
    if (added) {
      // The first that passed it tells it.
      tokens.push_back(token);
      ranks.emplace_back();
      sizes[rank] += token.bytes;
      if (narrow<int>(rank) == comm.rank()) append(told, mine[i % *most]);
    }
    ranks[entry->second].push_back(narrow<int>(rank));
  }
  return sayings_in(comm.all_gather(told, sizes), std::move(ranks), tokens);
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
