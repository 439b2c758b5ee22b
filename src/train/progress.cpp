#include "train/progress.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace muster::train {
namespace {

constexpr double kSecondsBetweenUpdates = 0.2;

std::string describe(std::int64_t step, std::int64_t steps, double loss, double tokens_per_s) {
  std::array<char, 160> line{};
  const int decimals = tokens_per_s < 1000 ? 1 : 0;  // so that slow steps can be compared
  std::snprintf(line.data(), line.size(), "step %lld/%lld  loss %.4f  %.*f tokens/s", static_cast<long long>(step),
                static_cast<long long>(steps), loss, decimals, tokens_per_s);
  return line.data();
}

}  // namespace

bool output_is_terminal() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr && std::getenv("PMI_RANK") == nullptr) return true;
  const std::string launcher = "/proc/" + std::to_string(getppid()) + "/fd/1";
  const int descriptor = open(launcher.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool is_terminal = isatty(descriptor) != 0;
  close(descriptor);
  return is_terminal;
}

Progress::Progress(const Settings& settings)
    : settings_(settings), on_terminal_(settings.speaks && settings.is_rank_0 && output_is_terminal()) {}

void Progress::step(std::int64_t step, double loss, bool ends_line) {
  if (!settings_.speaks || !settings_.is_rank_0) return;
  const double now_s = since_start_.seconds();
  counted_s_ += now_s - last_step_s_;
  last_step_s_ = now_s;
  ++counted_steps_;
  const bool is_last = step == settings_.steps;
  const bool is_due =
      on_terminal_ ? ends_line || now_s - last_shown_s_ >= kSecondsBetweenUpdates : step % settings_.log_every == 0;
  if (!is_due && !is_last) return;
  const double tokens = static_cast<double>(counted_steps_) * static_cast<double>(settings_.tokens_per_step);
  const std::string line = describe(step, settings_.steps, loss, counted_s_ > 0 ? tokens / counted_s_ : 0);
  if (on_terminal_) {
    std::printf("\r\033[K%s", line.c_str());
    std::fflush(stdout);
    line_is_open_ = true;
    if (is_last) clear_line();
    last_shown_s_ = now_s;
  } else {
    say(line);
  }
  counted_steps_ = 0;
  counted_s_ = 0;
}

void Progress::say(const std::string& line) {
  if (!settings_.speaks || !settings_.is_rank_0) return;
  clear_line();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void Progress::warn(const std::string& line) {
  if (!settings_.is_rank_0) return;
  clear_line();
  std::fprintf(stderr, "muster-train: warning: %s\n", line.c_str());
}

void Progress::skip_time() { last_step_s_ = since_start_.seconds(); }

void Progress::clear_line() {
  if (!line_is_open_) return;
  std::printf("\n");
  std::fflush(stdout);
  line_is_open_ = false;
}

}  // namespace muster::train
