#pragma once
// The moment a tag becomes visible. One rank calls it, after all ranks agreed that the part file is durable.

#include <filesystem>
#include <string>

namespace muster::store {

// Publishes `part` as `tag`: see the numbered protocol in publish.cpp. On return the tag, its name and the `latest`
// pointer are on stable storage. On an exception (Error{io}) the tag is not there, `latest` is as it was, and the part
// file may be left for the caller to remove; only where an existing tag was being replaced and the rename had already
// happened does the new file stay in its place (the old one is gone by then), as the message says.
void publish(const std::filesystem::path& directory, const std::filesystem::path& part, const std::string& tag);

}  // namespace muster::store
