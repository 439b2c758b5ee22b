#pragma once
// A CSV file of the steps: a header, then one line a step. Local (rank 0).

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace muster::train {

class StepLog {
 public:
  // Keeps the complete lines of an existing log up to last_step and drops the rest; makes the file if there is none.
  // `option` gave the path, and is named in errors; `column` is what the log has beside the step. Throws Error{usage}
  // if the file contains something else, Error{io} if it cannot be written.
  StepLog(std::string option, std::filesystem::path path, const std::string& column, std::int64_t last_step);
  // The line is handed to the operating system before this returns, so it outlives the process.
  void append(std::int64_t step, const std::string& value);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string option_;
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace muster::train
