#include <muster/error.hpp>
#include <utility>

#include "base/rank_text.hpp"

namespace muster {

namespace {

std::string describe(const std::string& phase, const std::vector<RankFailure>& failures) {
  std::vector<std::pair<std::string, std::vector<int>>> groups;
  for (const auto& failure : failures) {
    bool found = false;
    for (auto& [message, ranks] : groups) {
      if (message != failure.message) continue;
      ranks.push_back(failure.rank);
      found = true;
      break;
    }
    if (!found) groups.push_back({failure.message, {failure.rank}});
  }
  std::string text = phase + " failed: ";
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (i > 0) text += "\n  ";
    text += rank_text(groups[i].second) + ": " + groups[i].first;
  }
  return text;
}

}  // namespace

std::string_view name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return "usage";
    case ErrorKind::mismatch:
      return "mismatch";
    case ErrorKind::exists:
      return "exists";
    case ErrorKind::not_found:
      return "not_found";
    case ErrorKind::corrupt:
      return "corrupt";
    case ErrorKind::io:
      return "io";
    case ErrorKind::busy:
      return "busy";
    case ErrorKind::timeout:
      return "timeout";
    case ErrorKind::internal:
      return "internal";
    case ErrorKind::superseded:
      return "superseded";
  }
  return "internal";
}

CollectiveError::CollectiveError(std::string phase, std::vector<RankFailure> failures)
    : Error(failures.empty() ? ErrorKind::internal : failures.front().kind, describe(phase, failures)),
      phase_(std::move(phase)),
      failures_(std::move(failures)) {}

}  // namespace muster
