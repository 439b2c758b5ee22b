#include "base/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <muster/error.hpp>
#include <thread>
#include <utility>

#include "base/clock.hpp"

namespace muster {

namespace {

constexpr double kEndTimeoutS = 10;

void check_spawn(int error, const std::string& action) {
  if (error != 0) throw Error(ErrorKind::io, action + ": " + std::strerror(error));
}

// What the child's descriptors become.
class FileActions {
 public:
  FileActions() { check_spawn(posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init"); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  void dup(int from, int to) { check_spawn(posix_spawn_file_actions_adddup2(&actions_, from, to), "dup2"); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

// No signal blocked in the child, whatever this thread blocks; SIGPIPE as usual.
class Attributes {
 public:
  Attributes() {
    check_spawn(posix_spawnattr_init(&attributes_), "posix_spawnattr_init");
    sigset_t none;
    sigemptyset(&none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    check_spawn(posix_spawnattr_setsigmask(&attributes_, &none), "posix_spawnattr_setsigmask");
    check_spawn(posix_spawnattr_setsigdefault(&attributes_, &defaults), "posix_spawnattr_setsigdefault");
    check_spawn(posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
                "posix_spawnattr_setflags");
  }
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  [[nodiscard]] const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

std::vector<std::string> own_environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

// posix_spawn wants them so.
std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const auto& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

class ChildProcess::Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw Error(ErrorKind::io, std::string("pipe: ") + std::strerror(errno));
  }
  ~Pipe() {
    for (const int end : ends_) {
      if (end >= 0) ::close(end);
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  [[nodiscard]] int reader() const { return ends_[0]; }
  [[nodiscard]] int writer() const { return ends_[1]; }
  int take_reader() { return std::exchange(ends_[0], -1); }
  int take_writer() { return std::exchange(ends_[1], -1); }

 private:
  std::array<int, 2> ends_{-1, -1};
};

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                           StderrTo stderr_to)
    : program_(arguments.front()) {
  Pipe input;
  Pipe output;
  FileActions actions;
  actions.dup(input.reader(), STDIN_FILENO);
  actions.dup(output.writer(), STDOUT_FILENO);
  if (stderr_to == StderrTo::output) actions.dup(output.writer(), STDERR_FILENO);
  const Attributes attributes;
  check_spawn(::posix_spawnp(&pid_, program_.c_str(), actions.get(), attributes.get(), pointers_to(arguments).data(),
                             pointers_to(environment).data()),
              "start " + program_);
  to_child_ = input.take_writer();
  from_child_ = output.take_reader();
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, StderrTo stderr_to)
    : ChildProcess(arguments, own_environment(), stderr_to) {}

ChildProcess::~ChildProcess() {
  ::close(to_child_);
  ::close(from_child_);
  if (pid_ < 0) return;
  try {
    wait(kEndTimeoutS);
  } catch (const std::exception&) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

int ChildProcess::wait(double timeout_s) {
  const Stopwatch watch;
  int status = 0;
  for (;;) {
    const auto ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended < 0 && errno == EINTR) continue;
    if (ended != 0) {
      pid_ = -1;
      if (ended < 0) return -1;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (watch.seconds() > timeout_s) throw Error(ErrorKind::timeout, program_ + " does not end");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void ChildProcess::write_line(const std::string& line) {
  const auto text = line + '\n';
  for (std::size_t done = 0; done < text.size();) {
    const auto put = ::write(to_child_, text.data() + done, text.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw Error(ErrorKind::io, "write to " + program_ + ": " + std::strerror(errno));
    done += static_cast<std::size_t>(put);
  }
}

bool ChildProcess::receive(double timeout_s) {
  const Stopwatch watch;
  for (;;) {
    const double left_s = timeout_s - watch.seconds();
    if (left_s <= 0) throw Error(ErrorKind::timeout, program_ + " does not answer");
    pollfd waited{from_child_, POLLIN, 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(left_s * 1000) + 1);
    if (ready < 0 && errno != EINTR) throw Error(ErrorKind::io, "poll " + program_ + ": " + std::strerror(errno));
    if (ready <= 0) continue;
    std::array<char, 4096> block{};
    const auto got = ::read(from_child_, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(ErrorKind::io, "read from " + program_ + ": " + std::strerror(errno));
    received_.append(block.data(), static_cast<std::size_t>(got));
    return got > 0;
  }
}

std::string ChildProcess::read_line(double timeout_s) {
  const Stopwatch watch;
  for (;;) {
    if (const auto end = received_.find('\n'); end != std::string::npos) {
      auto line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    if (!receive(timeout_s - watch.seconds())) throw Error(ErrorKind::io, program_ + " ended before it answered");
  }
}

std::string ChildProcess::read_to_end(double timeout_s) {
  constexpr std::size_t kMost = std::size_t{1} << 20;
  const Stopwatch watch;
  while (receive(timeout_s - watch.seconds())) {
    if (received_.size() > kMost) throw Error(ErrorKind::io, program_ + " does not stop talking");
  }
  return std::exchange(received_, {});
}

}  // namespace muster
