// The fault points of a build that is tested.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <muster/error.hpp>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/failpoint.hpp"

namespace muster::failpoint {

namespace {

std::string world_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(variable)) return value;
  }
  return "0";
}

std::map<std::string, std::string> from_environment() {
  std::map<std::string, std::string> points;
  const char* text = std::getenv("MUSTER_FAILPOINT");
  std::istringstream entries(text != nullptr ? text : "");
  for (std::string entry; std::getline(entries, entry, ',');) {
    const auto colon = entry.find(':');
    if (colon == std::string::npos) continue;
    auto point = entry.substr(0, colon);
    if (const auto at = point.find('@'); at != std::string::npos) {
      if (point.substr(at + 1) != world_rank()) continue;
      point.resize(at);
    }
    points[point] = entry.substr(colon + 1);
  }
  return points;
}

struct Armed {
  std::mutex mutex;
  std::map<std::string, std::string> points = from_environment();
};

Armed& armed() {
  static Armed instance;
  return instance;
}

}  // namespace

bool compiled_in() { return true; }

void arm(const std::string& point, const std::string& action) {
  const std::lock_guard lock(armed().mutex);
  armed().points[point] = action;
}

void disarm_all() {
  const std::lock_guard lock(armed().mutex);
  armed().points.clear();
}

bool is_armed(const char* point) {
  const std::lock_guard lock(armed().mutex);
  return armed().points.contains(point);
}

void pass(const char* point) {
  std::string action;
  {
    const std::lock_guard lock(armed().mutex);
    const auto found = armed().points.find(point);
    if (found == armed().points.end()) return;
    action = found->second;
  }
  if (action == "kill") std::raise(SIGKILL);
  if (action == "stop") std::raise(SIGSTOP);
  if (action == "pause") std::this_thread::sleep_for(std::chrono::milliseconds(20));
  if (action == "long_pause") std::this_thread::sleep_for(std::chrono::milliseconds(200));
  if (action == "throw") throw Error(ErrorKind::io, std::string("fault injected at ") + point);
}

}  // namespace muster::failpoint
