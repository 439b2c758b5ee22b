#pragma once
// One rank's share of a background save.

#include "coord/async_save.hpp"
#include "coord/save_posts.hpp"
#include "coord/team.hpp"

namespace muster::coord {

// Copies what this rank holds; afterwards the program may change its state. What fails comes out of write_share().
void stage_share(AsyncSave& save);

// On a thread of its own: makes durable what is staged, and waits for the end of staging. What fails is told in the
// save's tale, which is ready for a Settlement then.
void write_share(AsyncSave& save, const Team& team, SavePosts& posts);

}  // namespace muster::coord
