#pragma once
// What the parts of a load (model, optimizer, scheduler, generator) build together.

#include <functional>
#include <muster/torch.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "load/key_selection.hpp"
#include "model/convert.hpp"
#include "torch/torch_errors.hpp"

namespace muster::torch_adapter {

// Collects a LoadTarget. Nothing of the program's may change before a commit runs.
class LoadBuilder {
 public:
  LoadBuilder(const CheckpointContents& contents, const LoadOptions& options)
      : contents_(&contents), options_(&options) {
    for (const auto& tensor : contents.tensors) saved_.emplace(tensor.path, &tensor);
  }

  [[nodiscard]] const CheckpointContents& contents() const { return *contents_; }
  // Whether nothing is loaded where anything is missing.
  [[nodiscard]] bool strict() const {
    return options_->missing.value_or(options_->strict ? OnDifference::error : OnDifference::warn) ==
               OnDifference::error &&
           options_->strict;
  }
  // Whether parts of the program are to stay as they are.
  [[nodiscard]] bool is_partial() const { return !options_->only.empty(); }
  [[nodiscard]] bool selects(const std::string& path) const { return load::is_selected(options_->only, path); }
  // Whether a tensor saved in one dtype can be loaded into another.
  [[nodiscard]] bool fits(DType saved, DType wanted) const {
    return saved == wanted || (options_->convert_dtypes && is_convertible(saved, wanted));
  }
  // What a key of the checkpoint is called in the program.
  [[nodiscard]] std::string key_here(const std::string& saved_key) const {
    return load::renamed(options_->renames, saved_key).value_or(saved_key);
  }
  // Null where the checkpoint has no such tensor.
  [[nodiscard]] const TensorDescription* saved(const std::string& path) const {
    const auto found = saved_.find(path);
    return found == saved_.end() ? nullptr : found->second;
  }
  [[nodiscard]] State& state() { return target_.state; }

  // Whether a tensor of the program that is wanted under this path will be filled.
  [[nodiscard]] bool fills(const std::string& path, DType dtype, const Shape& global_shape) const {
    const auto source = target_.made_from.find(path);
    const bool is_made = source != target_.made_from.end();
    const auto* from = saved(is_made ? source->second : path);
    return from != nullptr && selects(path) && from->shape == global_shape &&
           (fits(from->dtype, dtype) || (is_made && is_convertible(from->dtype, dtype)));
  }
  // The tensor of the checkpoint from which the tensor of the program with this path is filled; null if there is none.
  [[nodiscard]] const TensorDescription* source_of(const std::string& path) const {
    const auto source = target_.made_from.find(path);
    return saved(source == target_.made_from.end() ? path : source->second);
  }
  // A tensor of the program that is filled in the place of another one; undefined if there is none.
  [[nodiscard]] torch::Tensor replacement_of(const torch::Tensor& tensor) const {
    const auto found = replacements_.find(tensor.unsafeGetTensorImpl());
    return found == replacements_.end() ? torch::Tensor() : found->second;
  }
  void replace(const torch::Tensor& tensor, torch::Tensor by) {
    replacements_[tensor.unsafeGetTensorImpl()] = std::move(by);
  }
  void made(std::string path) { target_.made.push_back(std::move(path)); }
  void make_from(const std::string& path, std::string source) { target_.made_from[path] = std::move(source); }
  void want_whole(std::string section) { target_.sections.push_back(std::move(section)); }
  void problem(std::string line) { target_.problems.push_back(std::move(line)); }
  void missing(std::string line) { target_.missing.push_back(std::move(line)); }
  void unexpected(std::string line) { target_.unexpected.push_back(std::move(line)); }
  [[nodiscard]] bool refuses_unexpected() const {
    return options_->unexpected.value_or(options_->strict ? OnDifference::error : OnDifference::warn) ==
           OnDifference::error;
  }
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
  const LoadOptions* options_;
  std::unordered_map<std::string_view, const TensorDescription*> saved_;
  std::unordered_map<const c10::TensorImpl*, torch::Tensor> replacements_;
  LoadTarget target_;
  std::vector<std::function<void()>> commits_;
};

}  // namespace muster::torch_adapter
