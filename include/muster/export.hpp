#pragma once
// The symbols that a shared library of muster exports: the names of the public headers. All other symbols are hidden.

#define MUSTER_EXPORT [[gnu::visibility("default")]]
