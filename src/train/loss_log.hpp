#pragma once
// The CSV file of losses: a header, then one line a step, every loss with all digits of its double. Local (rank 0).

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>

namespace muster::train {

class LossLog {
 public:
  // Keeps the complete lines of an existing log up to last_step and drops the rest; makes the file if there is none.
  // Throws Error{usage} where the file holds something else, Error{io} where it cannot be written.
  LossLog(std::filesystem::path path, std::int64_t last_step);
  // The line is handed to the operating system before this returns, so it outlives the process.
  void append(std::int64_t step, double loss);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace muster::train
