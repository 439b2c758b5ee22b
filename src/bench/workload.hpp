#pragma once
// What a benchmark saves: names, dtypes and shapes of tensors. Pure functions.

#include <cstdint>
#include <muster/state.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace muster::bench {

struct TensorSpec {
  std::string path;
  DType dtype = DType::float32;
  Shape shape;

  [[nodiscard]] std::uint64_t bytes() const { return element_count(shape) * item_bytes(dtype); }
};

struct Workload {
  std::string name;
  std::vector<TensorSpec> tensors;

  [[nodiscard]] std::uint64_t payload_bytes() const;
};

// float32 tensors of 16 MiB, as many as fit the size best, at least one.
Workload make_large(std::uint64_t size_bytes);

// float32 tensors of 64x64, as many as fit the size best, at least one; with size 0: 5000 of them.
Workload make_small(std::uint64_t size_bytes);

// A decoder as LLaMA's (embedding, attention, gated feed-forward, norms, head) in bfloat16, with the AdamW state of
// each parameter (step, exp_avg, exp_avg_sq in float32) right behind it. Width, layers and vocabulary are chosen to
// come within 2% of the size. Throws Error{usage} where no such model does: below 2 MiB or so.
Workload make_llm(std::uint64_t size_bytes);

// "2GiB", "1.5 MiB", "100MB", "4096": 1 byte or more. Throws Error{usage} for anything else.
std::uint64_t parse_bytes(std::string_view text);

// Which of so many ranks holds each tensor: contiguous groups with bytes as even as whole tensors allow, in order, as
// the stages of a pipeline.
std::vector<int> assign_holders(const Workload& workload, int ranks);

// A list of {"path", "dtype", "shape", "holder"}.
nlohmann::json workload_json(const Workload& workload, const std::vector<int>& holders);

}  // namespace muster::bench
