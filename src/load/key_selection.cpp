#include "load/key_selection.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <muster/error.hpp>
#include <optional>
#include <unordered_set>

namespace muster::load {

namespace {

using Renames = std::map<std::string, std::string>;

bool ends_in_star(std::string_view text) { return text.ends_with('*'); }

void check(const Renames& renames) {
  for (const auto& [from, to] : renames) {
    const auto stars = std::ranges::count(from, '*') + std::ranges::count(to, '*');
    if (!from.empty() && !to.empty() && ends_in_star(from) == ends_in_star(to) &&
        stars == (ends_in_star(from) ? 2 : 0)) {
      continue;
    }
    throw Error(ErrorKind::usage,
                fmt::format("rename '{}' to '{}': two keys, or two beginnings of keys that both end in '*'", from, to));
  }
}

}  // namespace

bool is_selected(const std::vector<std::string>& only, const std::string& path) {
  return only.empty() ||
         std::ranges::any_of(only, [&](const auto& pattern) { return fnmatch(pattern.c_str(), path.c_str(), 0) == 0; });
}

// Where several fit, the longest.
std::optional<std::string> renamed(const Renames& renames, const std::string& key) {
  if (const auto exact = renames.find(key); exact != renames.end()) return exact->second;
  const std::pair<const std::string, std::string>* best = nullptr;
  for (const auto& rename : renames) {
    const auto& from = rename.first;
    if (!ends_in_star(from) || !key.starts_with(std::string_view(from).substr(0, from.size() - 1))) continue;
    if (best == nullptr || from.size() > best->first.size()) best = &rename;
  }
  if (best == nullptr) return std::nullopt;
  const auto& [from, to] = *best;
  return to.substr(0, to.size() - 1) + key.substr(from.size() - 1);
}

namespace {

// "/model/<key>", "/optimizer/<key>/<slot>", "/models/<name>/<key>" and "/optimizers/<name>/<key>/<slot>" with another
// key.
std::string renamed_path(const Renames& renames, const std::string& path) {
  const auto keys = object_keys(path);
  if (renames.empty() || keys.size() < 2) return path;
  const bool is_named = keys[0] == "models" || keys[0] == "optimizers";
  if (!is_named && keys[0] != "model" && keys[0] != "optimizer") return path;
  const std::size_t at = is_named ? 2 : 1;
  if (keys.size() <= at) return path;
  const auto key = renamed(renames, keys[at]);
  if (!key) return path;
  std::string result;
  for (std::size_t i = 0; i < keys.size(); ++i) result += object_path({i == at ? *key : keys[i]});
  return result;
}

}  // namespace

KeySelection::KeySelection(const LoadOptions& options, const Catalog& catalog) : only_(options.only) {
  check(options.renames);
  std::unordered_set<std::string_view> taken;
  paths_.reserve(catalog.tensors.size());  // `taken` looks into it
  for (const auto& tensor : catalog.tensors) {
    const auto& path = paths_.emplace_back(renamed_path(options.renames, tensor.path));
    if (!taken.insert(path).second) {
      throw Error(ErrorKind::usage,
                  fmt::format("with these renames, two tensors of {} would be {}", catalog.run.tag, path));
    }
  }
}

}  // namespace muster::load
