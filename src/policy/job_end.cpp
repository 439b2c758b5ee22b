#include "policy/job_end.hpp"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <muster/error.hpp>
#include <ranges>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/child_process.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "policy/own_job.hpp"

namespace muster::policy {

namespace {

constexpr double kAnswerTimeoutS = 10;
constexpr double kNsPerS = 1e9;

std::optional<double> from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*end != '\0' || !std::isfinite(value) || value <= 0) {
    throw Error(ErrorKind::usage, std::string(name) + " is \"" + text + "\", and must be seconds since 1970");
  }
  return value;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<double> whole_number(std::string_view digits) {
  unsigned value = 0;
  const auto* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<double> parse_time_left(const std::string& text) {
  auto rest = trimmed(text);
  std::optional<double> days = 0;
  const auto dash = rest.find('-');
  const bool has_days = dash != std::string_view::npos;
  if (has_days) {
    days = whole_number(rest.substr(0, dash));
    rest.remove_prefix(dash + 1);
  }
  if (!days) return std::nullopt;
  std::vector<double> fields;
  for (const auto field : std::views::split(rest, ':')) {
    const auto number = whole_number(std::string_view(field.begin(), field.end()));
    if (!number) return std::nullopt;
    fields.push_back(*number);
  }
  if (fields.size() == 2 && !has_days) fields.insert(fields.begin(), 0);
  if (fields.size() != 3) return std::nullopt;
  return ((*days * 24 + fields[0]) * 60 + fields[1]) * 60 + fields[2];
}

std::optional<double> job_end_unix_s() {
  if (const auto end = from_environment("MUSTER_JOB_END")) return end;
  if (const auto end = from_environment("SLURM_JOB_END_TIME")) return end;
  const auto job = own_job();
  if (!job) return std::nullopt;
  try {
    ChildProcess squeue({"squeue", "-h", "-j", *job, "-o", "%L"});
    const auto left_s = parse_time_left(squeue.read_line(kAnswerTimeoutS));
    if (!left_s) return std::nullopt;
    return static_cast<double>(unix_ns()) / kNsPerS + *left_s;
  } catch (const Error& error) {
    log_warning("Slurm does not say when job " + *job + " ends, and no save will be made before it: " + error.what());
    return std::nullopt;
  }
}

}  // namespace muster::policy
