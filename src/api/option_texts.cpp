#include "api/option_texts.hpp"

#include <fmt/format.h>

namespace muster::api {

std::vector<std::pair<std::string, std::string>> option_texts(const CheckpointerOptions& options) {
  std::string hints;
  for (const auto& [key, value] : options.hints) hints += fmt::format("{}{}={}", hints.empty() ? "" : " ", key, value);
  return {{"retention.newest (num_kept_ckpts)",
           options.retention.newest ? std::to_string(*options.retention.newest) : "unset"},
          {"engine", std::string(name(options.engine))},
          {"hints", hints.empty() ? "none" : hints},
          {"grid", to_string(options.grid)},
          {"alignment_bytes", std::to_string(options.alignment_bytes)},
          {"timeout_s", fmt::format("{}", options.timeout_s)},
          {"take_over", options.take_over ? "on" : "off"}};
}

}  // namespace muster::api
