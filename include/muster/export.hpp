#pragma once
// What a shared library of muster shows to programs: the names of the public headers. All others are hidden.

#define MUSTER_EXPORT [[gnu::visibility("default")]]
