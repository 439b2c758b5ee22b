#include "store/resume.hpp"

#include <fmt/format.h>

#include "store/names.hpp"
#include "store/pointer.hpp"

namespace muster::store {

ResumeOrder resume_order(Directory& directory) {
  ResumeOrder order;
  for (const auto& entry : directory.list()) {
    if (entry.run) {
      order.tags.push_back(entry.tag);
    } else {
      order.warnings.push_back("skipping tag " + entry.tag + ": " + entry.fault);
    }
  }
  if (order.tags.empty()) return order;
  const auto file = directory.path() / kLatestPointer;
  const auto pointer = read_pointer(directory.path(), kLatestPointer);
  const auto& newest = order.tags.front();
  if (!pointer) {
    order.warnings.push_back(
        fmt::format("{} is missing or names no tag; the newest sound tag is {}", file.string(), newest));
  } else if (*pointer != newest) {
    order.warnings.push_back(fmt::format("{} names {}; the newest sound tag is {}", file.string(), *pointer, newest));
  }
  return order;
}

}  // namespace muster::store
