#pragma once
// What the parts of a load (model, optimizer, scheduler, generator) build together.

#include <functional>
#include <muster/checkpoint.hpp>
#include <string>
#include <utility>
#include <vector>

#include "torch/torch_errors.hpp"

namespace muster::torch_adapter {

// Collects a LoadTarget. Nothing of the program's may change before a commit runs.
class LoadBuilder {
 public:
  LoadBuilder(const CheckpointContents& contents, bool strict) : contents_(&contents), strict_(strict) {}

  [[nodiscard]] const CheckpointContents& contents() const { return *contents_; }
  [[nodiscard]] bool strict() const { return strict_; }
  [[nodiscard]] State& state() { return target_.state; }

  void want_whole(std::string section) { target_.sections.push_back(std::move(section)); }
  void problem(std::string line) { target_.problems.push_back(std::move(line)); }
  // Commits run in the order in which they were added.
  void on_commit(std::function<void()> commit) { commits_.push_back(std::move(commit)); }

  LoadTarget take() {
    target_.commit = [commits = std::move(commits_)] {
      with_short_errors([&] {
        for (const auto& commit : commits) commit();
      });
    };
    return std::move(target_);
  }

 private:
  const CheckpointContents* contents_;
  bool strict_;
  LoadTarget target_;
  std::vector<std::function<void()>> commits_;
};

}  // namespace muster::torch_adapter
