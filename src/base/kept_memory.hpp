#pragma once

#include <memory>

namespace muster {

// Keeps an object until the process ends, without destroying it then: memory that MPI may still use where a wait for it
// was given up. A tool that looks for leaks finds it in use. Thread-safe; does nothing with null.
void keep_until_exit(std::shared_ptr<void> object);

}  // namespace muster
