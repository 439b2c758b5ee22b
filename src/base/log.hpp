#pragma once
// Messages to whoever runs the job: spdlog's logger "muster" if the program made one, else stderr.

#include <string>

namespace muster {

void log_warning(const std::string& message);

// Makes what the first message would make, for programs that may log while they end.
void log_ready();

}  // namespace muster
