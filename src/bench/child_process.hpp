#pragma once
// A child process that is talked to in lines: over its standard input, and from its standard output.

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/posix.hpp"

namespace muster::bench {

class ChildProcess {
 public:
  // Starts arguments[0], looked up on the PATH, with exactly this environment ("NAME=value"). Throws Error{io}.
  ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment);
  // Closes the child's input, which asks it to end, and waits; kills it where it does not listen.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void write_line(const std::string& line);
  // Throws Error{io} where the child ended, Error{timeout} where no line comes in time.
  std::string read_line(double timeout_s);

 private:
  class Pipe;
  pid_t pid_ = -1;
  int to_child_ = -1;
  int from_child_ = -1;
  std::string program_;
  std::string received_;
};

}  // namespace muster::bench
