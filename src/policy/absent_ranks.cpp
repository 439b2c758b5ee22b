#include "policy/absent_ranks.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "base/kept_memory.hpp"
#include "base/narrow.hpp"
#include "mpi/check.hpp"

namespace muster::policy {

namespace {

constexpr int kTag = 1;
constexpr int kMostListeners = 64;  // enough to hear of it, few enough not to flood a large job
constexpr double kListenS = 2;

}  // namespace

AbsentRanks::AbsentRanks(const mpi::CommView& comm) : comm_(comm), heard_(narrow<std::size_t>(comm.size())) {
  nonce_ = static_cast<std::uint64_t>(unix_ns());
  comm_.broadcast(std::as_writable_bytes(std::span(&nonce_, 1)), 0);
}

AbsentRanks::~AbsentRanks() {
  // MPI may still read them.
  if (!sent_.empty()) keep_until_exit(std::make_shared<std::list<Message>>(std::move(sent_)));
}

std::optional<std::vector<int>> AbsentRanks::absent(std::uint64_t call) {
  if (told_ != call) {
    told_ = call;
    waits_ = true;
    since_ = {};
    tell(2 * call);
  }
  listen();
  if (comm_.rank() >= kMostListeners || since_.seconds() < kListenS) return std::nullopt;
  std::vector<int> missing;
  for (int rank = 0; rank < comm_.size(); ++rank) {
    if (!excuses(heard_[narrow<std::size_t>(rank)], call)) missing.push_back(rank);
  }
  return missing;
}

bool AbsentRanks::is_first() const {
  const auto own = narrow<std::ptrdiff_t>(comm_.rank());
  return std::none_of(heard_.begin(), heard_.begin() + own,
                      [&](auto word) { return word % 2 == 0 && excuses(word, told_); });
}

void AbsentRanks::leave() {
  if (!waits_) return;
  waits_ = false;
  tell(2 * told_ + 1);
}

bool AbsentRanks::excuses(std::uint64_t word, std::uint64_t call) {
  const bool waits = word % 2 == 0 && word != 0;
  return word / 2 + (waits ? 1 : 0) >= call;
}

void AbsentRanks::tell(std::uint64_t word) {
  heard_[narrow<std::size_t>(comm_.rank())] = word;
  sent_.remove_if([](Message& message) {
    int done = 0;
    mpi::check(MPI_Test(&message.request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    return done != 0;
  });
  for (int to = 0; to < std::min(comm_.size(), kMostListeners); ++to) {
    if (to == comm_.rank()) continue;
    auto& message = sent_.emplace_back();
    message.text = {nonce_, word};
    mpi::check(MPI_Isend(message.text.data(), 2, MPI_UINT64_T, to, kTag, comm_.handle(), &message.request),
               "MPI_Isend");
  }
}

void AbsentRanks::listen() {
  for (;;) {
    int is_there = 0;
    MPI_Status status{};
    mpi::check(MPI_Iprobe(MPI_ANY_SOURCE, kTag, comm_.handle(), &is_there, &status), "MPI_Iprobe");
    if (is_there == 0) return;
    auto& heard = heard_[narrow<std::size_t>(status.MPI_SOURCE)];
    std::array<std::uint64_t, 2> text{};
    mpi::check(MPI_Recv(text.data(), 2, MPI_UINT64_T, status.MPI_SOURCE, kTag, comm_.handle(), MPI_STATUS_IGNORE),
               "MPI_Recv");
    if (text[0] == nonce_) heard = std::max(heard, text[1]);
  }
}

}  // namespace muster::policy
