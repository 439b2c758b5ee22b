#include "base/child_process.hpp"

#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
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

// posix_spawn wants them so.
std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const auto& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, char* const* environment, StderrTo stderr_to)
    : program_(arguments.front()) {
  const auto check = [&](int error) {
    if (error != 0) throw Error(ErrorKind::io, "start " + program_ + ": " + std::strerror(error));
  };
  std::array<int, 2> ends{};
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0 ? 0 : errno);
  socket_ = ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  int error = 0;
  for (const int to : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (to == STDERR_FILENO && stderr_to == StderrTo::parent) continue;
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, ends[1], to);
  }
  // No signal blocked in the child, whatever this thread blocks; SIGPIPE as usual.
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigaddset(&signals, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (error == 0) {
    error = ::posix_spawnp(&pid_, program_.c_str(), &actions, &attributes, pointers_to(arguments).data(), environment);
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) ::close(socket_);
  check(error);
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                           StderrTo stderr_to)
    : ChildProcess(arguments, pointers_to(environment).data(), stderr_to) {}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, StderrTo stderr_to)
    : ChildProcess(arguments, environ, stderr_to) {}

ChildProcess::~ChildProcess() {
  ::close(socket_);
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
    const auto put = ::send(socket_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
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
    pollfd waited{socket_, POLLIN, 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(left_s * 1000) + 1);
    if (ready < 0 && errno != EINTR) throw Error(ErrorKind::io, "poll " + program_ + ": " + std::strerror(errno));
    if (ready <= 0) continue;
    std::array<char, 4096> block{};
    const auto got = ::read(socket_, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ECONNRESET) return false;  // it ended with input that it had not read
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
