#include "train/step_log.hpp"

#include <cerrno>
#include <charconv>
#include <fstream>
#include <muster/error.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

namespace muster::train {
namespace {

// A directory that is missing is Error{io} too: not_found is for checkpoints.
[[noreturn]] void fail(const std::string& option, const std::string& action, const std::filesystem::path& path,
                       int error_number) {
  throw Error(ErrorKind::io,
              option + ": " + action + " " + path.string() + ": " + std::generic_category().message(error_number));
}

// The step of a line "12,3.25"; nothing where the line is not one.
std::optional<std::int64_t> step_of(std::string_view line) {
  std::int64_t step = 0;
  const char* const end = line.data() + line.size();
  const auto [comma, error] = std::from_chars(line.data(), end, step);
  if (error != std::errc{} || comma == end || *comma != ',' || comma + 1 == end) return std::nullopt;
  return step;
}

// What an existing log keeps. A last line without its newline was cut off by a crash, and goes.
std::string kept_lines(const std::string& option, const std::filesystem::path& path, const std::string& header,
                       std::int64_t last_step) {
  std::string kept = header + '\n';
  std::ifstream file(path, std::ios::binary);
  if (!file) return kept;
  std::string line;
  bool is_header = true;
  while (std::getline(file, line)) {
    const bool complete = !file.eof();
    if (is_header) {
      if (line != header) {
        throw Error(ErrorKind::usage, option + " " + path.string() + " exists and is no such log (it does not start " +
                                          "with \"" + header + "\"); name another file");
      }
      is_header = false;
      continue;
    }
    const auto step = step_of(line);
    if (complete && step && *step <= last_step) kept += line + '\n';
  }
  return kept;
}

}  // namespace

StepLog::StepLog(std::string option, std::filesystem::path path, const std::string& column, std::int64_t last_step)
    : option_(std::move(option)), path_(std::move(path)) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path_, ignored);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) {
    // Replaced in one piece, so that no crash can lose what is kept; through a link, the file that it names.
    auto target = std::filesystem::weakly_canonical(path_, ignored);
    if (ignored) target = path_;
    auto rewritten = target;
    rewritten += ".new";
    const std::string kept = kept_lines(option_, target, "step," + column, last_step);
    std::ofstream file(rewritten, std::ios::binary | std::ios::trunc);
    file << kept;
    file.close();
    if (!file) fail(option_, "write", rewritten, errno);
    if (std::rename(rewritten.c_str(), target.c_str()) != 0) fail(option_, "rename to", target, errno);
  }
  file_.reset(std::fopen(path_.c_str(), "ae"));
  if (!file_) fail(option_, "open", path_, errno);
}

void StepLog::append(std::int64_t step, const std::string& value) {
  if (std::fprintf(file_.get(), "%lld,%s\n", static_cast<long long>(step), value.c_str()) < 0 ||
      std::fflush(file_.get()) != 0) {
    fail(option_, "write", path_, errno);
  }
}

}  // namespace muster::train
