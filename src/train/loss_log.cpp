#include "train/loss_log.hpp"

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
[[noreturn]] void fail(const std::string& action, const std::filesystem::path& path, int error_number) {
  throw Error(ErrorKind::io,
              "--loss-log: " + action + " " + path.string() + ": " + std::generic_category().message(error_number));
}

constexpr std::string_view kHeader = "step,loss";

// The step of a line "12,3.25"; nothing where the line is not one.
std::optional<std::int64_t> step_of(std::string_view line) {
  std::int64_t step = 0;
  const char* const end = line.data() + line.size();
  const auto [comma, error] = std::from_chars(line.data(), end, step);
  if (error != std::errc{} || comma == end || *comma != ',' || comma + 1 == end) return std::nullopt;
  return step;
}

// What an existing log keeps. A last line without its newline was cut off by a crash, and goes.
std::string kept_lines(const std::filesystem::path& path, std::int64_t last_step) {
  std::string kept = std::string(kHeader) + '\n';
  std::ifstream file(path, std::ios::binary);
  if (!file) return kept;
  std::string line;
  bool is_header = true;
  while (std::getline(file, line)) {
    const bool complete = !file.eof();
    if (is_header) {
      if (line != kHeader) {
        throw Error(ErrorKind::usage, "--loss-log " + path.string() + " exists and is no loss log (it does not start " +
                                          "with \"" + std::string(kHeader) + "\"); name another file");
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

LossLog::LossLog(std::filesystem::path path, std::int64_t last_step) : path_(std::move(path)) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path_, ignored);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) {
    // Replaced in one piece, so that no crash can lose what is kept; through a link, the file that it names.
    auto target = std::filesystem::weakly_canonical(path_, ignored);
    if (ignored) target = path_;
    auto rewritten = target;
    rewritten += ".new";
    const std::string kept = kept_lines(target, last_step);
    std::ofstream file(rewritten, std::ios::binary | std::ios::trunc);
    file << kept;
    file.close();
    if (!file) fail("write", rewritten, errno);
    if (std::rename(rewritten.c_str(), target.c_str()) != 0) fail("rename to", target, errno);
  }
  file_.reset(std::fopen(path_.c_str(), "ae"));
  if (!file_) fail("open", path_, errno);
}

void LossLog::append(std::int64_t step, double loss) {
  if (std::fprintf(file_.get(), "%lld,%.17g\n", static_cast<long long>(step), loss) < 0 ||
      std::fflush(file_.get()) != 0) {
    fail("write", path_, errno);
  }
}

}  // namespace muster::train
