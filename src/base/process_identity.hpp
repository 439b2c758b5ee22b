#pragma once
// Which process this is, told so that others can tell it from all that ever were, and whether it is still there.

#include <cstdint>
#include <string>

namespace muster {

struct ProcessIdentity {
  std::string host = {};            // its name
  std::string machine = {};         // /etc/machine-id; empty where there is none
  std::string boot = {};            // of the kernel, new with every start of it
  std::uint64_t pid_namespace = 0;  // in which `pid` counts
  int pid = 0;
  std::uint64_t pid_start = 0;  // when it started, in clock ticks after the boot
};

ProcessIdentity this_process();

enum class Liveness : std::uint8_t {
  alive,
  gone,     // ended, or its host was started anew since
  unknown,  // it is on another host, or in a container of its own
};
// As far as this process can tell. A process that is stopped is alive; one that has ended and is not yet waited for is
// gone.
Liveness liveness(const ProcessIdentity& process);

}  // namespace muster
