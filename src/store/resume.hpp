#pragma once
// Which tag a resume takes. Local.

#include <string>
#include <vector>

#include "store/directory.hpp"

namespace muster::store {

struct ResumeOrder {
  std::vector<std::string> tags;      // to try in this order: the newest sound one first
  std::vector<std::string> warnings;  // damaged tags passed over; a `latest` that does not name the first of `tags`
};

// The order follows from the sequence numbers in the files; the pointer is only compared with it. Throws Error{io}
// where a file cannot be opened that may be the newest: `latest` does not name one of which more is known.
ResumeOrder resume_order(Directory& directory);

}  // namespace muster::store
