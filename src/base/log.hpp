#pragma once
// Messages to whoever runs the job: spdlog's logger "muster" if the program made one, else stderr.

#include <string>

namespace muster {

void log_warning(const std::string& message);

}  // namespace muster
