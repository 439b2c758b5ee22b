#include "mpi/exchange.hpp"

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

namespace muster::mpi {

namespace {

// What travels of each string before any of them does.
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
std::optional<std::size_t> most_where_different(const CommView& comm, std::span<const Token> mine) {
  const auto hash = hash_bytes(std::as_bytes(mine));
  std::array<std::uint64_t, 3> low_high_most{hash, ~hash, ~std::uint64_t{mine.size()}};
  comm.all_min(low_high_most);
  if (low_high_most[0] == ~low_high_most[1]) return std::nullopt;
  return ~low_high_most[2];
}

// All strings one behind the other, and which ranks passed each.
std::vector<SharedBytes> distinct_in(Bytes strings, std::vector<std::vector<int>> ranks,
                                     std::span<const Token> tokens) {
  const auto storage = std::make_shared<const Bytes>(std::move(strings));
  std::vector<SharedBytes> distinct;
  std::size_t start = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    distinct.push_back({std::move(ranks[i]), std::span(*storage).subspan(start, tokens[i].bytes), storage});
    start += tokens[i].bytes;
  }
  return distinct;
}

std::vector<int> everyone(const CommView& comm) {
  std::vector<int> ranks(static_cast<std::size_t>(comm.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

void append(Bytes& to, const Bytes& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

}  // namespace

std::vector<SharedBytes> exchange_distinct(const CommView& comm, const std::vector<Bytes>& mine) {
  auto own = tokens_of(mine);
  const auto most = most_where_different(comm, own);
  Bytes sent;
  if (!most) {
    for (const auto& bytes : mine) append(sent, bytes);
    return distinct_in(std::move(sent), std::vector<std::vector<int>>(mine.size(), everyone(comm)), own);
  }
  own.resize(*most, kNothing);
  const auto numbers = comm.all_gather(std::span(reinterpret_cast<const std::uint64_t*>(own.data()), 2 * own.size()));
  std::vector<Token> tokens;  // of the distinct strings
  std::vector<std::vector<int>> ranks;
  std::vector<std::uint64_t> sizes(static_cast<std::size_t>(comm.size()), 0);  // that each rank sends
  std::unordered_map<std::uint64_t, std::size_t> index;
  for (std::size_t i = 0; 2 * i < numbers.size(); ++i) {
    const Token token{numbers[2 * i], numbers[2 * i + 1]};
    if (token == kNothing) continue;
    const auto rank = i / *most;
    const auto [entry, added] = index.try_emplace(token.hash, tokens.size());
    if (added) {
      // The first rank that passed a string sends it.
      tokens.push_back(token);
      ranks.emplace_back();
      sizes[rank] += token.bytes;
      if (narrow<int>(rank) == comm.rank()) append(sent, mine[i % *most]);
    }
    ranks[entry->second].push_back(narrow<int>(rank));
  }
  return distinct_in(comm.all_gather(sent, sizes), std::move(ranks), tokens);
}

void require_same(const CommView& comm, const std::string& phase, const std::string& what, const std::string& text) {
  const auto bytes = as_bytes(text);
  const auto distinct = exchange_distinct(comm, {Bytes(bytes.begin(), bytes.end())});
  run_on_root(comm, phase, [&] {
    if (distinct.size() == 1) return;
    std::string message = "the ranks differ in " + what + ":";
    for (std::size_t i = 0; i < distinct.size(); ++i) {
      const auto& [ranks, passed, storage] = distinct[i];
      const std::string value(reinterpret_cast<const char*>(passed.data()), passed.size());
      message +=
          fmt::format("{} {} {} {}", i == 0 ? "" : ";", rank_text(ranks), ranks.size() == 1 ? "passes" : "pass", value);
    }
    throw Error(ErrorKind::mismatch, message);
  });
}

}  // namespace muster::mpi
