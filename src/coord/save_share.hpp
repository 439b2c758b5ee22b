#pragma once
// One rank's share of a background save.

#include "coord/async_save.hpp"
#include "coord/save_posts.hpp"
#include "coord/team.hpp"

namespace muster::coord {

// Copies what this rank holds; afterwards the program may change its state. What fails comes out of write_share().
void stage_share(AsyncSave& save);

// On a thread of its own: writes what is staged. What fails is told in the save's tale.
void write_share(AsyncSave& save, const Team& team, SavePosts& posts);

// After write_share(), on any thread: makes it durable, where it was written, and waits for the end of staging. The
// save's tale is ready for a Settlement then.
void sync_share(AsyncSave& save, const Team& team, SavePosts& posts);

}  // namespace muster::coord
