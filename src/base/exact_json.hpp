#pragma once
// JSON as text that brings every value back exactly: what JSON itself cannot say is written as small tagged objects.
//   NaN, infinities    {"$double": "nan" | "inf" | "-inf" | 16 hex digits of the bits}
//   binary values      {"$binary": "hex digits", "$subtype": number or null}
//   a user's own key that starts with '$' gets one '$' more in front.
// Finite doubles are written with the fewest digits that give the same bits; integers keep all theirs.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace muster {

// Throws Error{usage} for strings that are not UTF-8 and for discarded values; `what` names the document in it.
std::string to_exact_text(const nlohmann::json& value, std::string_view what);

// Throws Error{corrupt}, naming `what`.
nlohmann::json from_exact_text(std::string_view text, std::string_view what);

}  // namespace muster
