#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace muster {

namespace {

std::shared_ptr<spdlog::logger> logger() {
  if (auto existing = spdlog::get("muster")) return existing;
  auto made = spdlog::stderr_logger_mt("muster");
  made->set_pattern("muster: %l: %v");
  return made;
}

}  // namespace

void log_warning(const std::string& message) { logger()->warn("{}", message); }

void log_ready() {
  if (!spdlog::get("muster")) logger();
}

}  // namespace muster
