#include "base/kept_memory.hpp"

#include <list>
#include <mutex>
#include <utility>

namespace muster {

void keep_until_exit(std::shared_ptr<void> object) {
  if (object == nullptr) return;
  static std::mutex mutex;
  static auto& kept = *new std::list<std::shared_ptr<void>>;  // never destroyed
  const std::lock_guard lock(mutex);
  kept.push_back(std::move(object));
}

}  // namespace muster
