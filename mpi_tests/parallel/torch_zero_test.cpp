// ZeRO-1 with LibTorch's own AdamW: each rank steps a part of every parameter. What some ranks saved any other number
// of them loads, however it cuts the parameters, and a plain optimizer of one rank too, bit for bit.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <muster/sharding.hpp>
#include <numeric>

#include "base/narrow.hpp"
#include "parallel/torch_bits.hpp"
#include "support/scratch.hpp"

namespace muster::test::torch_zero_test {
namespace {

using torch::Tensor;

// The first ranks of the world; null on the others.
class FirstRanks {
 public:
  explicit FirstRanks(int count) {
    MPI_Comm_split(MPI_COMM_WORLD, world_rank() < count ? 0 : MPI_UNDEFINED, world_rank(), &comm_);
  }
  ~FirstRanks() {
    if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  }
  FirstRanks(const FirstRanks&) = delete;
  FirstRanks& operator=(const FirstRanks&) = delete;
  [[nodiscard]] MPI_Comm comm() const { return comm_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

// How the ranks share the elements of a parameter.
enum class Share : std::uint8_t {
  all,       // plain: the optimizer has the parameters themselves
  rows,      // chunk_of_rows()
  elements,  // equal numbers, wherever that cuts
  buffer     // equal parts of one buffer of all parameters: of some a rank has nothing
};

// No size is a multiple of 3 or 4, and three ranks of four have nothing of the last parameter.
const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& parameters() {
  static const std::vector<std::pair<std::string, std::vector<std::int64_t>>> all{
      {"in", {7, 5}}, {"norm", {5}}, {"out", {5, 7}}, {"scale", {1}}};
  return all;
}

constexpr double kRate = 0.05;

class Job {
 public:
  Job(MPI_Comm comm, Share share, bool bf16) : comm_(comm), share_(share), bf16_(bf16) {
    MPI_Comm_rank(comm, &rank_);
    MPI_Comm_size(comm, &size_);
    model_ = std::make_shared<torch::nn::Module>("Zero");
    std::int64_t all = 0;
    for (const auto& [key, shape] : parameters()) all += torch::zeros(shape).numel();
    std::int64_t before = 0;
    std::vector<Tensor> stepped;
    for (const auto& [key, shape] : parameters()) {
      torch::manual_seed(7);
      const auto master = torch::randn(shape);
      auto& entry = entries_.emplace_back();
      entry.key = key;
      entry.parameter = model_->register_parameter(key, bf16 ? master.to(torch::kBFloat16) : master);
      const auto elements = master.numel();
      entry.range = range_of(shape, elements, before, all);
      before += elements;
      if (share != Share::all || bf16) {
        entry.stepped = part_of(bf16 ? master : entry.parameter.detach(), entry.range);
        if (bf16) entry.stepped = entry.stepped.clone();
        parallel_.optimizer_parts.push_back({entry.stepped, entry.parameter, entry.range});
      } else {
        entry.stepped = entry.parameter;
      }
      if (entry.range.count > 0) stepped.push_back(entry.stepped);
    }
    optimizer_ = std::make_unique<torch::optim::AdamW>(stepped, torch::optim::AdamWOptions(kRate).weight_decay(0.1));
  }

  // Real steps: the same gradients on all ranks, each rank the elements that it has.
  void step(int number) {
    for (auto& entry : entries_) {
      if (entry.range.count == 0) continue;
      torch::manual_seed(narrow<std::uint64_t>(1000 + number));
      const auto gradient = torch::randn(entry.parameter.sizes().vec());
      entry.stepped.mutable_grad() = is_plain() ? gradient : part_of(gradient, entry.range).clone();
    }
    optimizer_->step();
    const torch::NoGradGuard no_grad;
    if (bf16_) {
      for (auto& entry : entries_) part_of(entry.parameter.detach(), entry.range).copy_(entry.stepped);
    }
    for (auto& entry : entries_) entry.parameter.copy_(gathered(entry, part_of(entry.parameter.detach(), entry.range)));
  }

  // All values of the job by parameter and slot, put together without muster. Collective over its ranks.
  [[nodiscard]] std::map<std::string, Tensor> all_values() {
    std::map<std::string, Tensor> values;
    for (auto& entry : entries_) {
      values[entry.key] = copy_of(entry.parameter);
      const auto none = torch::zeros({0});
      auto* state = state_of(entry);
      const auto whole = [&](const Tensor& mine) { return gathered(entry, mine.detach().reshape({-1})); };
      values[entry.key + "/exp_avg"] = whole(state != nullptr ? state->exp_avg() : none);
      values[entry.key + "/exp_avg_sq"] = whole(state != nullptr ? state->exp_avg_sq() : none);
      if (bf16_) values[entry.key + "/master"] = whole(entry.stepped);
      std::int64_t step = state != nullptr ? state->step() : 0;
      MPI_Allreduce(MPI_IN_PLACE, &step, 1, MPI_INT64_T, MPI_MAX, comm_);
      if (state != nullptr) {
        EXPECT_EQ(state->step(), step) << entry.key;
      }
      values[entry.key + "/step"] = torch::full({}, step, torch::kInt64);
    }
    return values;
  }

  void save(const std::filesystem::path& directory, const std::string& tag, bool leaves_out) {
    SaveArgs args;
    args.tag = tag;
    args.model = model_;
    args.optimizer = *optimizer_;
    args.parallel = parallel_;
    args.avoid_saving_lower_precision_weights = leaves_out;
    save_checkpoint(comm_, directory, args);
    finalize_checkpoint(comm_);
  }
  void load(const std::filesystem::path& directory, const std::string& tag) {
    LoadArgs args;
    args.tag = tag;
    args.model = model_;
    args.optimizer = *optimizer_;
    args.parallel = parallel_;
    EXPECT_TRUE(load_checkpoint_report(comm_, directory, args).skipped.empty());
    finalize_checkpoint(comm_);
  }

  // Other values everywhere, so that nothing is right before it is loaded.
  void spoil() {
    const torch::NoGradGuard no_grad;
    for (auto& entry : entries_) {
      entry.parameter.fill_(-3);
      entry.stepped.fill_(-3);
      if (auto* state = state_of(entry)) {
        state->exp_avg().fill_(-3);
        state->exp_avg_sq().fill_(-3);
        state->step(-3);
      }
    }
  }

 private:
  struct Entry {
    std::string key;
    Tensor parameter;
    Tensor stepped;
    ElementRange range;
  };

  [[nodiscard]] bool is_plain() const { return share_ == Share::all && !bf16_; }

  // Without the library's chunks but for `rows`.
  [[nodiscard]] ElementRange range_of(const std::vector<std::int64_t>& shape, std::int64_t elements,
                                      std::int64_t before, std::int64_t all) const {
    const auto between = [](std::int64_t first, std::int64_t last) {
      return ElementRange{narrow<std::uint64_t>(first), narrow<std::uint64_t>(last - first)};
    };
    switch (share_) {
      case Share::all:
        return between(0, elements);
      case Share::rows:
        return chunk_of_rows(Shape(shape.begin(), shape.end()), rank_, size_);
      case Share::elements:
        return between(elements * rank_ / size_, elements * (rank_ + 1) / size_);
      case Share::buffer:
        return between(std::clamp(all * rank_ / size_, before, before + elements) - before,
                       std::clamp(all * (rank_ + 1) / size_, before, before + elements) - before);
    }
    return {};
  }

  static Tensor part_of(const Tensor& whole, const ElementRange& range) {
    return whole.view({-1}).narrow(0, narrow<std::int64_t>(range.first), narrow<std::int64_t>(range.count));
  }

  torch::optim::AdamWParamState* state_of(const Entry& entry) {
    const auto found = optimizer_->state().find(optimizer_state_key(entry.stepped));
    return found == optimizer_->state().end() ? nullptr
                                              : dynamic_cast<torch::optim::AdamWParamState*>(found->second.get());
  }

  // The parts of all ranks of a parameter, in its shape.
  [[nodiscard]] Tensor gathered(const Entry& entry, const Tensor& mine) const {
    const auto shape = entry.parameter.sizes().vec();
    if (share_ == Share::all) return mine.clone().view(shape);
    const auto dense = mine.contiguous();
    auto whole = torch::empty(shape, mine.options());
    EXPECT_EQ(dense.numel(), narrow<std::int64_t>(entry.range.count));
    const auto bytes = narrow<int>(dense.numel() * narrow<std::int64_t>(dense.element_size()));
    std::vector<int> counts(static_cast<std::size_t>(size_));
    MPI_Allgather(&bytes, 1, MPI_INT, counts.data(), 1, MPI_INT, comm_);
    std::vector<int> placements(counts.size());
    std::exclusive_scan(counts.begin(), counts.end(), placements.begin(), 0);
    MPI_Allgatherv(dense.data_ptr(), bytes, MPI_BYTE, whole.data_ptr(), counts.data(), placements.data(), MPI_BYTE,
                   comm_);
    return whole;
  }

  MPI_Comm comm_;
  Share share_;
  bool bf16_;
  int rank_ = 0;
  int size_ = 1;
  std::shared_ptr<torch::nn::Module> model_;
  std::vector<Entry> entries_;
  Parallelism parallel_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

void expect_same(const std::map<std::string, Tensor>& values, const std::map<std::string, Tensor>& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (const auto& [key, value] : expected) EXPECT_TRUE(same_bits(values.at(key), value)) << key;
}

class TorchZero : public testing::TestWithParam<bool> {};

TEST_P(TorchZero, IsLoadedByAnyNumberOfRanksInAnyCutAndByAPlainOptimizer) {
  const bool bf16 = GetParam();
  const Scratch scratch;
  for (const auto saved : {Share::rows, Share::elements, Share::buffer}) {
    const auto tag = fmt::format("saved_{}", static_cast<int>(saved));
    // Every rank of the world is in the job that saves, and knows what it saved.
    Job job(MPI_COMM_WORLD, saved, bf16);
    for (int number = 0; number < 3; ++number) job.step(number);
    const auto expected = job.all_values();
    job.save(scratch.path(), tag, bf16);
    ASSERT_EQ(expected.at("scale/step").item<std::int64_t>(), 3);
    // One more step, for what is loaded to be stepped likewise.
    job.step(3);
    const auto stepped = job.all_values();
    for (int count = world_size(); count >= 1; --count) {
      const FirstRanks ranks(count);
      if (ranks.comm() == MPI_COMM_NULL) continue;
      for (const auto loaded : {Share::all, Share::rows, Share::elements, Share::buffer}) {
        for (const bool had_state : {false, true}) {
          SCOPED_TRACE(fmt::format("{} ranks, shared as {}, loaded by {}, shared as {}{}", world_size(),
                                   static_cast<int>(saved), count, static_cast<int>(loaded),
                                   had_state ? ", over another state" : ""));
          Job again(ranks.comm(), loaded, bf16);
          if (had_state) again.step(17);
          again.spoil();
          again.load(scratch.path(), tag);
          expect_same(again.all_values(), expected);
          again.step(3);
          for (const auto& [key, value] : again.all_values()) {
            EXPECT_TRUE(torch::allclose(value, stepped.at(key), 1e-5, 1e-7)) << key;
          }
        }
      }
    }
  }
}

// What a plain AdamW does, ZeRO does: else the state that travels here would be nobody's.
TEST_P(TorchZero, StepsAsAPlainOptimizerDoes) {
  Job zero(MPI_COMM_WORLD, Share::rows, GetParam());
  Job plain(MPI_COMM_SELF, Share::all, GetParam());
  for (int number = 0; number < 3; ++number) {
    zero.step(number);
    plain.step(number);
  }
  const auto expected = plain.all_values();
  for (const auto& [key, value] : zero.all_values()) EXPECT_TRUE(torch::allclose(value, expected.at(key), 1e-5, 1e-7));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, TorchZero, testing::Bool(),
                         [](const auto& one) { return one.param ? "masters" : "float32"; });

}  // namespace
}  // namespace muster::test::torch_zero_test
