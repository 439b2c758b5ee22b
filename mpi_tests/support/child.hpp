#pragma once
// A process of a test's own, forked: runs a function and ends with what that returns.

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <utility>

namespace muster::test {

class Child {
 public:
  template <class Work>
  explicit Child(Work&& work) : pid_(::fork()) {
    if (pid_ != 0) return;
    int code = 99;
    try {
      code = std::forward<Work>(work)();
    } catch (...) {
    }
    ::_exit(code);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    static_cast<void>(wait());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Waits until it has ended; its exit code, or the negative signal that killed it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // Waits until it stops itself; false where it ends instead.
  [[nodiscard]] bool wait_until_stopped() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WEXITED | WNOWAIT) == 0 &&
           info.si_code == CLD_STOPPED;
  }
  // Lets it go on, through whatever other stops it makes; its exit code.
  int resume_to_end() {
    for (;;) {
      int status = 0;
      ::kill(pid_, SIGCONT);
      ::waitpid(pid_, &status, WUNTRACED);
      if (WIFSTOPPED(status)) continue;
      pid_ = -1;
      return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
  }

 private:
  pid_t pid_;
};

}  // namespace muster::test
