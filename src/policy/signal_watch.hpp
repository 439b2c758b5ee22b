#pragma once
// Signals that came to this process. Local.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace muster::policy {

// Handlers that count; what handled a signal before is called, too. They are there as long as any watch is.
class SignalWatch {
 public:
  // Throws Error{usage} where a number is no signal that can be handled.
  explicit SignalWatch(const std::vector<int>& signals);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // Those that came since the last call, each once, in ascending order.
  std::vector<int> take();

 private:
  std::map<int, std::uint64_t> seen_;  // by signal: how often it had come
  std::uint64_t seen_in_all_ = 0;
};

// "SIGUSR1"
std::string signal_name(int number);
// Of "SIGUSR1", "usr1" or "10". Throws Error{usage}.
int signal_number(const std::string& name);

}  // namespace muster::policy
