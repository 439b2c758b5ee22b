#pragma once
// A child process that is talked to in lines: over its standard input, and from its standard output.

#include <sys/types.h>

#include <string>
#include <vector>

namespace muster {

enum class StderrTo { parent, output };

class ChildProcess {
 public:
  // Starts arguments[0], looked up on the PATH, with exactly this environment ("NAME=value"). Throws Error{io}.
  ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
               StderrTo stderr_to = StderrTo::parent);
  // The same with the environment of this process.
  explicit ChildProcess(const std::vector<std::string>& arguments, StderrTo stderr_to = StderrTo::parent);
  // Closes the child's input, which asks it to end, and waits; kills it where it does not listen.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void write_line(const std::string& line);
  // Throws Error{io} where the child ended, Error{timeout} where no line comes in time.
  std::string read_line(double timeout_s);
  // All that it still says, until it closes its output. Throws Error{io} where that is more than anybody should say,
  // Error{timeout} where it goes on for longer.
  std::string read_to_end(double timeout_s);
  // Until it has ended; nothing may be asked of it afterwards. Its exit status, 128 and the signal where one killed it,
  // -1 where the program that we are part of does not let us know. Throws Error{timeout}.
  int wait(double timeout_s);

 private:
  ChildProcess(const std::vector<std::string>& arguments, char* const* environment, StderrTo stderr_to);
  // More of the output into received_. False at its end.
  bool receive(double timeout_s);
  pid_t pid_ = -1;
  int socket_ = -1;  // the child's standard input and output
  std::string program_;
  std::string received_;
};

}  // namespace muster
