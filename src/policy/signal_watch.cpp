#include "policy/signal_watch.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <muster/error.hpp>
#include <mutex>

namespace muster::policy {

namespace {

// One handler a signal and process, whatever number of watches there are.
struct Watched {
  std::atomic<std::uint64_t> came{0};
  int watches = 0;
  struct sigaction earlier {};
};
std::array<Watched, NSIG> watched;
std::atomic<std::uint64_t> came_in_all{0};
std::mutex mutex;  // for watches and earlier
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

void handle(int number, siginfo_t* info, void* context) {
  const int error = errno;
  auto& own = watched[static_cast<std::size_t>(number)];
  own.came.fetch_add(1);
  came_in_all.fetch_add(1);
  const auto& earlier = own.earlier;
  if ((earlier.sa_flags & SA_SIGINFO) != 0) {
    earlier.sa_sigaction(number, info, context);
  } else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
    earlier.sa_handler(number);
  }
  errno = error;
}

void watch(int number) {
  auto& own = watched[static_cast<std::size_t>(number)];
  if (own.watches++ > 0) return;
  // Known before the handler runs for the first time.
  ::sigaction(number, nullptr, &own.earlier);
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
}

void unwatch(int number) {
  auto& own = watched[static_cast<std::size_t>(number)];
  if (--own.watches > 0) return;
  struct sigaction current {};
  ::sigaction(number, nullptr, &current);
  // Whoever came after us calls us, and must go on finding us.
  if ((current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == handle) {
    ::sigaction(number, &own.earlier, nullptr);
  }
}

bool can_be_handled(int number) {
  struct sigaction current {};
  return number > 0 && number < NSIG && number != SIGKILL && number != SIGSTOP &&
         ::sigaction(number, nullptr, &current) == 0;
}

}  // namespace

SignalWatch::SignalWatch(const std::vector<int>& signals) {
  for (const int number : signals) {
    if (!can_be_handled(number)) {
      throw Error(ErrorKind::usage, "signal " + std::to_string(number) + " cannot be handled");
    }
  }
  const std::lock_guard lock(mutex);
  seen_in_all_ = came_in_all.load();
  for (const int number : signals) {
    if (!seen_.contains(number)) watch(number);
    seen_[number] = watched[static_cast<std::size_t>(number)].came.load();
  }
}

SignalWatch::~SignalWatch() {
  const std::lock_guard lock(mutex);
  for (const auto& [number, count] : seen_) unwatch(number);
}

std::vector<int> SignalWatch::take() {
  std::vector<int> taken;
  const auto in_all = came_in_all.load();
  if (in_all == seen_in_all_) return taken;
  seen_in_all_ = in_all;
  for (auto& [number, seen] : seen_) {
    const auto came = watched[static_cast<std::size_t>(number)].came.load();
    if (came != seen) taken.push_back(number);
    seen = came;
  }
  return taken;
}

std::string signal_name(int number) {
  const char* abbreviation = ::sigabbrev_np(number);
  return abbreviation != nullptr ? std::string("SIG") + abbreviation : "signal " + std::to_string(number);
}

int signal_number(const std::string& name) {
  int number = 0;
  const auto* const end = name.data() + name.size();
  if (const auto read = std::from_chars(name.data(), end, number);
      read.ec == std::errc{} && read.ptr == end && can_be_handled(number)) {
    return number;
  }
  std::string upper;
  for (const char letter : name) upper.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(letter))));
  if (upper.starts_with("SIG")) upper.erase(0, 3);
  for (number = 1; number < NSIG; ++number) {
    const char* abbreviation = ::sigabbrev_np(number);
    if (abbreviation != nullptr && upper == abbreviation && can_be_handled(number)) return number;
  }
  throw Error(ErrorKind::usage, "\"" + name + "\" is no signal that can be handled");
}

}  // namespace muster::policy
