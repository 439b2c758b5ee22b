#pragma once
// The moment a tag becomes visible. One rank calls it, after all ranks agreed that the part file is durable.

#include <filesystem>
#include <string>

#include "store/ownership.hpp"

namespace muster::store {

// Publishes `part`, a file that carries the generation which `ownership` holds, as `tag`: see the numbered protocol in
// publish.cpp. On return the tag, its name and the `latest` pointer are on stable storage. On an exception the tag is
// not there, `latest` is as it was, and the part file may be left for the caller to remove. Only where the rename had
// already happened may the new file stay in its place, as the message then says: where it replaced an existing tag (the
// old one is gone), and where somebody else has taken the directory over since (the tag is theirs now). Throws
// Error{io}, Error{superseded}.
void publish(Ownership& ownership, const std::filesystem::path& part, const std::string& tag);

}  // namespace muster::store
