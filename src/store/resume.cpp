#include "store/resume.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <muster/error.hpp>

#include "store/names.hpp"
#include "store/pointer.hpp"

namespace muster::store {

ResumeOrder resume_order(Directory& directory) {
  ResumeOrder order;
  const auto entries = directory.list();
  for (const auto& entry : entries) {
    if (entry.run) {
      order.tags.push_back(entry.tag);
    } else {
      order.warnings.push_back("skipping tag " + entry.tag + ": " + entry.fault);
    }
  }
  const auto file = directory.path() / kLatestPointer;
  const auto pointer = read_pointer(directory.path(), kLatestPointer);
  for (const auto& entry : entries) {
    if (entry.is_readable || (pointer && std::ranges::find(order.tags, *pointer) != order.tags.end())) continue;
    throw Error(ErrorKind::io, entry.fault + ": it may be the newest checkpoint; make it readable, or name a tag");
  }
  if (order.tags.empty()) return order;
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
