#include "train/parted_optimizer.hpp"

#include <cstring>
#include <muster/sharding.hpp>
#include <utility>

#include "base/narrow.hpp"
#include "train/tensor_bytes.hpp"

namespace muster::train {
namespace {

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Options& options, std::vector<torch::Tensor> parameters) {
  if (options.optimizer == OptimizerKind::sgd) {
    return std::make_unique<torch::optim::SGD>(std::move(parameters),
                                               torch::optim::SGDOptions(options.lr).momentum(0.9));
  }
  return std::make_unique<torch::optim::AdamW>(std::move(parameters), torch::optim::AdamWOptions(options.lr));
}

// A view without a gradient.
torch::Tensor elements_of(const torch::Tensor& parameter, const ElementRange& range) {
  return parameter.detach().view({-1}).narrow(0, narrow<std::int64_t>(range.first), narrow<std::int64_t>(range.count));
}

Shape shape_of(const torch::Tensor& tensor) { return {tensor.sizes().begin(), tensor.sizes().end()}; }

}  // namespace

PartedOptimizer::PartedOptimizer(const Options& options, torch::nn::Module& model, const mpi::CommView& data) {
  std::vector<torch::Tensor> masters;
  if (options.bf16) {
    for (const auto& parameter : model.parameters()) masters.push_back(parameter.detach().clone());
    model.to(torch::kBFloat16);
  }
  const auto parameters = model.parameters();
  gradients_ = std::make_unique<Gradients>(parameters);
  if (!options.bf16 && !options.zero1) {
    optimizer_ = make_optimizer(options, parameters);
    return;
  }

  const auto parts = options.zero1 ? data.size() : 1;
  const auto own = options.zero1 ? data.rank() : 0;
  stepped_by_.resize(static_cast<std::size_t>(parts));
  bytes_of_.resize(static_cast<std::size_t>(parts));
  std::vector<torch::Tensor> optimized;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& parameter = parameters[i];
    for (int part = 0; part < parts; ++part) {
      const auto range = chunk_of_rows(shape_of(parameter), part, parts);
      const auto elements = elements_of(parameter, range);
      stepped_by_[static_cast<std::size_t>(part)].push_back(elements);
      bytes_of_[static_cast<std::size_t>(part)] += elements.nbytes();
      if (part != own) continue;
      // Without a master the elements themselves are stepped.
      auto stepped = options.bf16 ? elements_of(masters[i], range).clone() : elements;
      parts_.push_back({.optimized = stepped, .parameter = parameter, .range = range});
      if (range.count == 0) continue;
      stepped.mutable_grad() =
          gradients_->part(i, narrow<std::int64_t>(range.first), narrow<std::int64_t>(range.count));
      optimized.push_back(stepped);
    }
  }
  optimizer_ = make_optimizer(options, std::move(optimized));
}

void PartedOptimizer::step() {
  optimizer_->step();
  const torch::NoGradGuard no_gradients;
  for (const auto& part : parts_) {
    if (part.optimized.scalar_type() == part.parameter.scalar_type()) continue;
    elements_of(part.parameter, part.range).copy_(part.optimized);  // rounded to nearest
  }
}

void PartedOptimizer::share(const mpi::CommView& data) {
  if (stepped_by_.size() < 2) return;
  const auto own = static_cast<std::size_t>(data.rank());
  Bytes told;
  told.reserve(bytes_of_[own]);
  for (const auto& elements : stepped_by_[own]) {
    const auto bytes = bytes_of(elements);
    told.insert(told.end(), bytes.begin(), bytes.end());
  }
  const auto all = data.all_gather(told, bytes_of_);
  const auto* next = all.data();
  for (std::size_t rank = 0; rank < stepped_by_.size(); ++rank) {
    for (const auto& elements : stepped_by_[rank]) {
      const auto bytes = bytes_of(elements);
      if (rank != own && !bytes.empty()) std::memcpy(bytes.data(), next, bytes.size());
      next += bytes.size();
    }
  }
}

}  // namespace muster::train
