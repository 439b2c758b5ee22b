#pragma once
// What one rank brings to a save. Everything here is local.

#include <cstdint>
#include <map>
#include <muster/checkpoint.hpp>
#include <string>

#include "save/save_plan.hpp"

namespace muster::save {

// Throws Error{usage} for options that no save can have. is_async: of a background save.
void check_options(const SaveOptions& options, const CheckpointerOptions& run, bool is_async);

// The options that all ranks must pass alike, but for the tag: equal texts mean equal options.
std::string options_text(const SaveOptions& options, bool is_async);

// Throws Error{usage} for a state that cannot be saved, user content among it.
void check_state(const State& state, const SaveOptions& options);

// Calls what the program wants called before its tensors are read. Throws Error{usage} where there is nothing to read
// one from, and whatever the program's functions throw.
void make_readable(const State& state);

// The documents of the file by path, user content among them; rank 0's are the ones saved. Throws Error{usage} for a
// value that is no JSON, and whatever the program's functions throw.
std::map<std::string, std::string> document_texts(const State& state, const SaveOptions& options,
                                                  const DocumentContributions& contributions);

// Of all that a plan depends on and this rank knows, but for the sizes of documents.
// All else is fixed for the Checkpointer.
std::uint64_t fingerprint(const State& state, const SaveOptions& options);

}  // namespace muster::save
