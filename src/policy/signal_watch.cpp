#include "policy/signal_watch.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <muster/error.hpp>
#include <mutex>
#include <utility>

namespace muster::policy {

namespace {

// One handler a signal and process, whatever number of watches there are.
struct Watched {
  std::atomic<std::uint64_t> came{0};
  int watches = 0;
  void* caller = nullptr;  // a handler that was put over ours, and calls it, with or without a watch
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

void* address_of(const struct sigaction& action) {
  if ((action.sa_flags & SA_SIGINFO) != 0) return reinterpret_cast<void*>(action.sa_sigaction);
  return reinterpret_cast<void*>(action.sa_handler);
}

void watch(int number) {
  auto& own = watched[static_cast<std::size_t>(number)];
  if (own.watches++ > 0) return;
  struct sigaction current {};
  ::sigaction(number, nullptr, &current);
  // Over that handler ours would call it, and it ours, without end.
  if (own.caller != nullptr && own.caller == address_of(current)) return;
  // Known before the handler runs for the first time.
  own.earlier = current;
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
  const bool is_ours = address_of(current) == reinterpret_cast<void*>(handle);
  own.caller = is_ours ? nullptr : address_of(current);
  if (is_ours) ::sigaction(number, &own.earlier, nullptr);
}

// sigabbrev_np(3) came with glibc 2.32, which clusters do not have everywhere.
constexpr std::array kNames = {std::pair{SIGHUP, "HUP"},   std::pair{SIGINT, "INT"},       std::pair{SIGQUIT, "QUIT"},
                               std::pair{SIGILL, "ILL"},   std::pair{SIGTRAP, "TRAP"},     std::pair{SIGABRT, "ABRT"},
                               std::pair{SIGBUS, "BUS"},   std::pair{SIGFPE, "FPE"},       std::pair{SIGKILL, "KILL"},
                               std::pair{SIGUSR1, "USR1"}, std::pair{SIGSEGV, "SEGV"},     std::pair{SIGUSR2, "USR2"},
                               std::pair{SIGPIPE, "PIPE"}, std::pair{SIGALRM, "ALRM"},     std::pair{SIGTERM, "TERM"},
                               std::pair{SIGCHLD, "CHLD"}, std::pair{SIGCONT, "CONT"},     std::pair{SIGSTOP, "STOP"},
                               std::pair{SIGTSTP, "TSTP"}, std::pair{SIGTTIN, "TTIN"},     std::pair{SIGTTOU, "TTOU"},
                               std::pair{SIGURG, "URG"},   std::pair{SIGXCPU, "XCPU"},     std::pair{SIGXFSZ, "XFSZ"},
                               std::pair{SIGPROF, "PROF"}, std::pair{SIGVTALRM, "VTALRM"}, std::pair{SIGWINCH, "WINCH"},
                               std::pair{SIGIO, "IO"},     std::pair{SIGPWR, "PWR"},       std::pair{SIGSYS, "SYS"}};

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
  for (const auto& [known, name] : kNames) {
    if (known == number) return std::string("SIG") + name;
  }
  return "signal " + std::to_string(number);
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
  for (const auto& [known, abbreviation] : kNames) {
    if (upper == abbreviation && can_be_handled(known)) return known;
  }
  throw Error(ErrorKind::usage, "\"" + name + "\" is no signal that can be handled");
}

}  // namespace muster::policy
