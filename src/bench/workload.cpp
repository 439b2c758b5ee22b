#include "bench/workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <muster/error.hpp>
#include <optional>

#include "base/narrow.hpp"

namespace muster::bench {

namespace {

constexpr std::uint64_t kLargeBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kSmallBytes = std::uint64_t{64} * 64 * 4;
constexpr std::uint64_t kSmallCount = 5000;

std::uint64_t count_for(std::uint64_t size_bytes, std::uint64_t tensor_bytes) {
  return std::max<std::uint64_t>(1, (size_bytes + tensor_bytes / 2) / tensor_bytes);
}

// The numbers that a decoder's shapes follow from.
struct Decoder {
  std::uint64_t vocabulary = 0;
  std::uint64_t width = 0;
  std::uint64_t feed_forward = 0;
  std::uint64_t layers = 0;

  [[nodiscard]] std::uint64_t layer_parameters() const {
    return 4 * width * width + 3 * width * feed_forward + 2 * width;
  }
  [[nodiscard]] std::uint64_t parameters() const {
    return 2 * vocabulary * width + layers * layer_parameters() + width;
  }
};

constexpr std::uint64_t kFullVocabulary = 32000;
constexpr std::uint64_t kHeadWidth = 64;

// 8/3 of the width as LLaMA has it, rounded up as there; small models round finer.
std::uint64_t feed_forward_of(std::uint64_t width) { return align_up((8 * width + 2) / 3, width >= 1024 ? 256 : 64); }

// Of models of about so many parameters the one whose proportions are most like those of published ones.
std::optional<Decoder> fit_decoder(double parameters) {
  constexpr std::uint64_t kMaxWidth = 16384;
  constexpr double kWidthPerLayer = 100;  // 128 at 7B parameters, about 80 at 1B
  constexpr double kTolerance = 0.02;
  std::optional<Decoder> best;
  double best_cost = 0;
  for (std::uint64_t width = kHeadWidth; width <= kMaxWidth; width += kHeadWidth) {
    const auto usual = std::min(kFullVocabulary, 32 * width);
    Decoder decoder{.vocabulary = usual, .width = width, .feed_forward = feed_forward_of(width)};
    const auto layer = static_cast<double>(decoder.layer_parameters());
    const auto w = static_cast<double>(width);
    const double ideal_layers = (parameters - 2 * static_cast<double>(usual) * w) / layer;
    decoder.layers = static_cast<std::uint64_t>(std::max(1.0, std::round(ideal_layers)));
    // The vocabulary takes what whole layers leave over.
    const double rest = (parameters - w - layer * static_cast<double>(decoder.layers)) / (2 * w);
    const double vocabulary = 8 * std::round(rest / 8);
    const double share = vocabulary / static_cast<double>(usual);
    if (share < 0.5 || share > 1.5) continue;
    decoder.vocabulary = static_cast<std::uint64_t>(vocabulary);
    if (std::abs(static_cast<double>(decoder.parameters()) / parameters - 1) > kTolerance) continue;
    const double cost =
        std::abs(std::log(static_cast<double>(decoder.layers) * kWidthPerLayer / w)) + std::abs(std::log(share));
    if (!best || cost < best_cost) {
      best = decoder;
      best_cost = cost;
    }
  }
  return best;
}

// Adds a parameter and its optimizer state.
void add_parameter(Workload& workload, const std::string& key, DType dtype, const Shape& shape) {
  workload.tensors.push_back({object_path({"model", key}), dtype, shape});
  workload.tensors.push_back({object_path({"optimizer", key, "step"}), DType::float32, {}});
  workload.tensors.push_back({object_path({"optimizer", key, "exp_avg"}), DType::float32, shape});
  workload.tensors.push_back({object_path({"optimizer", key, "exp_avg_sq"}), DType::float32, shape});
}

}  // namespace

std::uint64_t Workload::payload_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& tensor : tensors) sum += tensor.bytes();
  return sum;
}

Workload make_large(std::uint64_t size_bytes) {
  Workload workload{"large", {}};
  for (std::uint64_t i = 0; i < count_for(size_bytes, kLargeBytes); ++i) {
    workload.tensors.push_back(
        {object_path({"model", fmt::format("layers.{}.weight", i)}), DType::float32, {2048, 2048}});
  }
  return workload;
}

Workload make_small(std::uint64_t size_bytes) {
  Workload workload{"small", {}};
  const auto count = size_bytes == 0 ? kSmallCount : count_for(size_bytes, kSmallBytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    workload.tensors.push_back({object_path({"model", fmt::format("layers.{}.weight", i)}), DType::float32, {64, 64}});
  }
  return workload;
}

Workload make_llm(std::uint64_t size_bytes) {
  constexpr auto kDType = DType::bfloat16;
  constexpr double kBytesPerParameter = 2 + 2 * 4;  // and two moments
  const auto decoder = fit_decoder(static_cast<double>(size_bytes) / kBytesPerParameter);
  if (!decoder) {
    throw Error(ErrorKind::usage,
                fmt::format("no llm workload comes within 2% of {} bytes; 2MiB to 2TiB can be had", size_bytes));
  }
  Workload workload{"llm", {}};
  const auto& [vocabulary, width, feed_forward, layers] = *decoder;
  add_parameter(workload, "model.embed_tokens.weight", kDType, {vocabulary, width});
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    const auto add = [&](const char* key, const Shape& shape) {
      add_parameter(workload, fmt::format("model.layers.{}.{}.weight", layer, key), kDType, shape);
    };
    for (const char* key : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"}) {
      add(key, {width, width});
    }
    add("mlp.gate_proj", {feed_forward, width});
    add("mlp.up_proj", {feed_forward, width});
    add("mlp.down_proj", {width, feed_forward});
    add("input_layernorm", {width});
    add("post_attention_layernorm", {width});
  }
  add_parameter(workload, "model.norm.weight", kDType, {width});
  add_parameter(workload, "lm_head.weight", kDType, {vocabulary, width});
  return workload;
}

std::vector<int> assign_holders(const Workload& workload, int ranks) {
  const double total = std::max(1.0, static_cast<double>(workload.payload_bytes()));
  std::vector<int> holders;
  holders.reserve(workload.tensors.size());
  std::uint64_t before = 0;
  for (const auto& tensor : workload.tensors) {
    const auto middle = static_cast<double>(before) + static_cast<double>(tensor.bytes()) / 2;
    holders.push_back(std::min(ranks - 1, static_cast<int>(middle / total * ranks)));
    before += tensor.bytes();
  }
  return holders;
}

nlohmann::json workload_json(const Workload& workload, const std::vector<int>& holders) {
  auto list = nlohmann::json::array();
  for (std::size_t i = 0; i < workload.tensors.size(); ++i) {
    const auto& tensor = workload.tensors[i];
    list.push_back(
        {{"path", tensor.path}, {"dtype", name(tensor.dtype)}, {"shape", tensor.shape}, {"holder", holders[i]}});
  }
  return list;
}

std::uint64_t parse_bytes(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 8> kUnits{{{"", 1},
                                                                       {"B", 1},
                                                                       {"KiB", 1024.0},
                                                                       {"MiB", 1048576.0},
                                                                       {"GiB", 1073741824.0},
                                                                       {"kB", 1e3},
                                                                       {"MB", 1e6},
                                                                       {"GB", 1e9}}};
  constexpr double kMaxBytes = 1e18;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc()) {
    auto unit = text.substr(static_cast<std::size_t>(end - text.data()));
    if (unit.starts_with(' ')) unit.remove_prefix(1);
    const auto* found = std::ranges::find(kUnits, unit, &std::pair<std::string_view, double>::first);
    const double bytes = found != kUnits.end() ? std::round(number * found->second) : 0;
    if (bytes >= 1 && bytes <= kMaxBytes) return static_cast<std::uint64_t>(bytes);
  }
  throw Error(ErrorKind::usage, "'" + std::string(text) + "' is no size; write 256MiB, 2GiB or a number of bytes");
}

}  // namespace muster::bench
