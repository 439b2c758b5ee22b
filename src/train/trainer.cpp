#include "train/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/failpoint.hpp"
#include "base/narrow.hpp"
#include "train/blas.hpp"
#include "train/collectives.hpp"
#include "train/gpt_parts.hpp"
#include "train/resume.hpp"

namespace muster::train {
namespace {

GptShape shape_of(const Options& options) {
  return {.context = options.context, .layers = options.layers, .width = options.width, .heads = options.heads};
}

// JSON holds UTF-8, a path any bytes.
std::string utf8_of(const std::filesystem::path& path) {
  const auto text = nlohmann::json(path.string()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(text).get<std::string>();
}

CheckpointerOptions checkpointer_options(const Options& options, const Ranks& ranks) {
  CheckpointerOptions fixed{.engine = options.engine, .hints = options.hints, .grid = ranks.grid().grid()};
  if (options.keep_last != 0) fixed.retention.newest = narrow<int>(options.keep_last);
  return fixed;
}

std::string description_of(const Ranks& ranks) {
  const auto& grid = ranks.grid().grid();
  if (ranks.model_is_whole()) return fmt::format("ranks: {}", ranks.world().size());
  return fmt::format("ranks: {} (tp={} pp={} dp={})", ranks.world().size(), grid.tensor, grid.pipeline, grid.data);
}

}  // namespace

Trainer::Trainer(const Ranks& ranks, const Options& options, const Text& text)
    : ranks_(ranks),
      options_(options),
      text_(text),
      samples_(options.seed, text.start_count(options.context), options.batch),
      stage_(stage_of(shape_of(options), ranks.pipeline().rank(), ranks.pipeline().size())),
      progress_({.speaks = !options.quiet,
                 .is_rank_0 = ranks.world().rank() == 0,
                 .steps = options.steps,
                 .log_every = options.log_every,
                 .tokens_per_step = options.batch * options.context}),
      checkpoints_(ranks.world().handle(), options.directory, checkpointer_options(options, ranks)),
      saves_(
          ranks.world(), options, progress_, checkpoints_, [this](const std::string& tag) { return save_options(tag); },
          state_) {
  const auto& world = ranks_.world();
  const auto seed = narrow<std::uint64_t>(options.seed);
  const auto shape = shape_of(options);
  together(world, [&] { require_cuttable(shape, ranks_.grid().grid()); });
  const auto whole = draw_model(world, shape, seed);
  std::int64_t elements = 0;
  for (const auto& parameter : whole->parameters()) elements += parameter.numel();
  together(world, [&] {
    model_ = part_of_model(whole, shape, ranks_);
    optimizer_.emplace(options, *model_, ranks_.data());
    scheduler_ = std::make_unique<torch::optim::StepLR>(optimizer_->optimizer(), narrow<unsigned>(options.lr_step),
                                                        options.lr_gamma);
  });
  state_ = training_state();
  pipeline_.emplace(
      ranks_, model_,
      Pipeline::Settings{.micro_batches = options.micro_batches != 0 ? options.micro_batches : ranks_.pipeline().size(),
                         .width = options.width});
  // From here on each rank draws numbers of its own, as a model with dropout would need.
  torch::manual_seed(seed + narrow<std::uint64_t>(world.rank()) + 1);
  progress_.say(fmt::format("GPT of {} parameters, {} of {} bytes to learn, {}", elements,
                            options.text.filename().string(), text.size_bytes(), description_of(ranks_)));
  if (const auto file = reference_blas(); !file.empty()) {
    progress_.say(
        fmt::format("note: LibTorch computes with the reference BLAS, {}, which is several times slower than "
                    "OpenBLAS; on Debian, install libopenblas0-pthread",
                    file));
  }
}

bool Trainer::run() {
  const auto& world = ranks_.world();
  if (const auto resumed = resume(world, options_, text_.size_bytes(), checkpoints_, state_, samples_, progress_)) {
    finished_steps_ = resumed->step;
    last_loss_ = resumed->last_loss.value_or(0);
    saves_.resume_at(finished_steps_);
  }
  if (finished_steps_ >= options_.steps) {
    progress_.say(fmt::format("nothing to do: step {} of {} is done", finished_steps_, options_.steps));
    return true;
  }
  prepare_directory(world, checkpoints_);
  together(world, [&] {
    if (world.rank() != 0) return;
    if (!options_.loss_log.empty()) loss_log_.emplace("--loss-log", options_.loss_log, "loss", finished_steps_);
    if (!options_.sample_log.empty())
      sample_log_.emplace("--sample-log", options_.sample_log, "samples", finished_steps_);
  });
  progress_.skip_time();
  for (std::int64_t step = finished_steps_ + 1; step <= options_.steps; ++step) {
    failpoint::pass("train.step");
    last_loss_ = train_step(step);
    finished_steps_ = step;
    samples_.end_step();
    progress_.step(step, last_loss_, saves_.begin_step(step));
    if (step == options_.crash_at) crash();
    saves_.save_if_due();
    if (saves_.should_stop()) break;
  }
  saves_.finish();
  if (finished_steps_ == options_.steps) return true;
  progress_.say(
      fmt::format("stopped after step {} of {}; the same command goes on from there", finished_steps_, options_.steps));
  return false;
}

double Trainer::train_step(std::int64_t step) {
  // Up to the update the parameters and moments are those of the step before, which saves may still be copying.
  saves_.keep_saving(SavePoint::before_gradients);
  const auto samples = samples_.of_rank(step, ranks_.data().rank(), ranks_.data().size());
  double share = 0;
  if (ranks_.model_is_whole()) {
    together(ranks_.world(), [&] { share = compute_gradients(samples); });
  } else {
    // The ranks wait for each other inside: a failure of one ends the job.
    share = compute_gradients(samples);
  }
  saves_.keep_saving(SavePoint::after_gradients);
  const double loss = sum_over_ranks(ranks_.world(), share);
  optimizer_->gradients().sum_over_ranks(ranks_.data());
  saves_.keep_saving(SavePoint::before_update);
  saves_.wait_staged();
  const auto sample_line = options_.sample_log.empty() ? std::string() : samples_of_all(samples);
  together(ranks_.world(), [&] {
    optimizer_->step();
    scheduler_->step();
    if (loss_log_) loss_log_->append(step, fmt::format("{:.17g}", loss));
    if (sample_log_) sample_log_->append(step, sample_line);
  });
  optimizer_->share(ranks_.data());
  return loss;
}

double Trainer::compute_gradients(const std::vector<std::uint64_t>& samples) {
  optimizer_->gradients().zero();
  if (samples.empty()) return 0;
  const auto sequences = text_.sequences(samples, options_.context);
  // Every token of the global batch weighs the same, however many sequences this rank has.
  const auto weight = 1.0 / (static_cast<double>(options_.batch) * static_cast<double>(options_.context));
  const auto share = pipeline_->run(sequences, weight, optimizer_->gradients());
  return ranks_.tensor().rank() == 0 ? share : 0;  // all of the group have the same
}

std::string Trainer::samples_of_all(const std::vector<std::uint64_t>& samples) const {
  // The other tensor parallel ranks and stages work on the same samples.
  if (ranks_.tensor().rank() != 0 || ranks_.pipeline().rank() != 0) return {};
  const auto bytes = std::as_bytes(std::span(samples));
  std::string all;
  for (const auto& of_rank : ranks_.data().gather(Bytes(bytes.begin(), bytes.end()))) {
    std::vector<std::uint64_t> values(of_rank.size() / sizeof(std::uint64_t));
    std::ranges::copy(of_rank, std::as_writable_bytes(std::span(values)).begin());
    for (const auto sample : values) all += fmt::format("{}{}", all.empty() ? "" : " ", sample);
  }
  return all;
}

TrainingState Trainer::training_state() {
  TrainingState state;
  state.add_model(model_, {.rules = sharding_rules(), .global_key = global_key(stage_)});
  state.add_optimizer(optimizer_->optimizer(),
                      {.parts = optimizer_->parts(),
                       .avoid_saving_lower_precision_weights = options_.bf16 && !options_.keep_bf16_weights});
  state.add_scheduler(*scheduler_);
  state.add_rng();
  return state;
}

SaveOptions Trainer::save_options(const std::string& tag) const {
  SaveOptions save;
  save.tag = tag;
  save.step = finished_steps_;
  save.user_content = {{"step", finished_steps_},
                       {"text", utf8_of(options_.text)},
                       {"text_bytes", text_.size_bytes()},
                       {"config", config_of(options_)},
                       {"last_loss", last_loss_}};
  samples_.add_to(save.user_content);
  save.replace_existing = options_.resume != Resume::never || options_.overwrite;
  save.async = {.overlap_staging = options_.overlap.has_value(),
                .overlap = options_.overlap.value_or(Overlap::automatic),
                .max_in_flight = options_.in_flight,
                .when_busy = options_.skip_when_busy || options_.always_saving ? WhenBusy::skip : WhenBusy::wait,
                .write_limit_bytes_per_s = static_cast<std::uint64_t>(options_.write_limit_mb_per_s * kBytesPerMb)};
  return save;
}

void Trainer::crash() {
  progress_.say(fmt::format("--crash-at {}: every rank kills itself now", finished_steps_));
  ranks_.world().barrier();  // no rank dies, and takes the job with it, before rank 0 has written its lines
  std::raise(SIGKILL);
  std::abort();  // not reached
}

}  // namespace muster::train
