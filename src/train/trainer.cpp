#include "train/trainer.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <muster/error.hpp>
#include <muster/torch.hpp>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <system_error>

#include "base/narrow.hpp"
#include "train/collectives.hpp"
#include "train/failure.hpp"

namespace muster::train {
namespace {

constexpr double kBytesPerMb = 1e6;
constexpr double kBytesPerGb = 1e9;

GptShape shape_of(const Options& options) {
  return {.context = options.context, .layers = options.layers, .width = options.width, .heads = options.heads};
}

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Options& options, std::vector<torch::Tensor> parameters) {
  if (options.optimizer == OptimizerKind::sgd) {
    return std::make_unique<torch::optim::SGD>(std::move(parameters),
                                               torch::optim::SGDOptions(options.lr).momentum(0.9));
  }
  return std::make_unique<torch::optim::AdamW>(std::move(parameters), torch::optim::AdamWOptions(options.lr));
}

// Rank 0's weights on all ranks: one seed need not give the same bits on processors of different kinds.
void broadcast_parameters(const mpi::CommView& comm, const std::vector<torch::Tensor>& parameters) {
  for (const auto& parameter : parameters) {
    const auto values = std::span(parameter.data_ptr<float>(), narrow<std::size_t>(parameter.numel()));
    comm.broadcast(std::as_writable_bytes(values), 0);
  }
}

std::string tag_of(std::int64_t step) { return fmt::format("step_{}", step); }

// JSON holds UTF-8, a path any bytes.
std::string utf8_of(const std::filesystem::path& path) {
  const auto text = nlohmann::json(path.string()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(text).get<std::string>();
}

std::int64_t step_in(const LoadReport& report) {
  const auto& contents = report.contents;
  if (report.user_content && report.user_content->is_object()) {
    const auto step = report.user_content->find("step");
    if (step != report.user_content->end() && step->is_number_integer()) return step->get<std::int64_t>();
  }
  if (contents.step) return *contents.step;
  throw AgreedError(ErrorKind::mismatch, contents.tag + " does not say after which step it was saved");
}

// Collective. Throws Error{kind} "<directory><message>" where the directory holds checkpoint files, sound or not.
void refuse_checkpoints(const mpi::CommView& comm, const std::filesystem::path& directory, ErrorKind kind,
                        const std::string& message) {
  together(comm, [&] {
    std::error_code ignored;  // a directory that is not there yet holds none
    if (comm.rank() != 0) return;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
      const auto& path = entry.path();
      if (path.extension() == ".h5" && !path.filename().string().starts_with('.')) {
        throw Error(kind, directory.string() + message);
      }
    }
  });
}

// Collective. Finds out before the first step, not at the first save, that nothing can be saved.
void prepare_directory(const mpi::CommView& comm, const std::filesystem::path& directory) {
  together(comm, [&] {
    if (comm.rank() != 0) return;
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (!error && access(directory.c_str(), W_OK | X_OK) != 0) error.assign(errno, std::generic_category());
    if (error) throw Error(ErrorKind::io, "--dir: cannot write to " + directory.string() + ": " + error.message());
  });
}

}  // namespace

Trainer::Trainer(const mpi::CommView& comm, const Options& options, const Text& text)
    : comm_(comm),
      options_(options),
      text_(text),
      part_(part_of_batch(options.batch, comm.rank(), comm.size())),
      progress_({.speaks = !options.quiet,
                 .is_rank_0 = comm.rank() == 0,
                 .steps = options.steps,
                 .log_every = options.log_every,
                 .tokens_per_step = options.batch * options.context}) {
  const auto seed = narrow<std::uint64_t>(options.seed);
  together(comm_, [&] {
    torch::manual_seed(seed);
    model_ = Gpt(shape_of(options));
    optimizer_ = make_optimizer(options, model_->parameters());
    scheduler_ =
        std::make_unique<torch::optim::StepLR>(*optimizer_, narrow<unsigned>(options.lr_step), options.lr_gamma);
    gradients_.emplace(model_->parameters());
  });
  broadcast_parameters(comm_, model_->parameters());
  // From here on each rank draws numbers of its own, as a model with dropout would need.
  torch::manual_seed(seed + narrow<std::uint64_t>(comm.rank()) + 1);

  std::int64_t elements = 0;
  for (const auto& parameter : model_->parameters()) elements += parameter.numel();
  progress_.say(fmt::format("GPT of {} parameters, {} of {} bytes to learn, ranks: {}", elements,
                            options.text.filename().string(), text.size_bytes(), comm.size()));
}

void Trainer::run() {
  resume();
  if (finished_steps_ >= options_.steps) {
    progress_.say(fmt::format("nothing to do: step {} of {} is done", finished_steps_, options_.steps));
    return;
  }
  prepare_directory(comm_, options_.directory);
  together(comm_, [&] {
    if (comm_.rank() == 0 && !options_.loss_log.empty()) loss_log_.emplace(options_.loss_log, finished_steps_);
  });
  progress_.skip_time();
  for (std::int64_t step = finished_steps_ + 1; step <= options_.steps; ++step) {
    const double loss = train_step(step);
    finished_steps_ = step;
    last_loss_ = loss;
    extra_saves_ = 0;
    const bool save_now = save_is_due(step);
    progress_.step(step, loss, save_now);
    if (step == options_.crash_at) crash();
    if (save_now) {
      save(step);
    } else {
      tell_of_ended();
    }
  }
  for (auto& save : in_flight_) tell(save.wait());
  in_flight_.clear();
}

void Trainer::resume() {
  const auto& directory = options_.directory;
  if (options_.resume == Resume::never && !options_.overwrite) {
    refuse_checkpoints(comm_, directory, ErrorKind::usage,
                       " holds checkpoints already: go on from them with --resume auto, name another --dir, or "
                       "replace them with --resume never --overwrite");
  }
  if (options_.resume == Resume::never) return;
  if (options_.resume == Resume::newest && !has_checkpoint(comm_.handle(), directory)) {
    refuse_checkpoints(comm_, directory, ErrorKind::corrupt,
                       " holds checkpoints, but none of them is sound: see `muster verify`, name another --dir, or "
                       "replace them with --resume never --overwrite");
    progress_.say("no checkpoint in " + directory.string() + ": starting afresh");
    return;
  }

  LoadArgs args;
  if (options_.resume == Resume::tag) args.tag = options_.resume_tag;
  args.model = model_;
  args.optimizer = optimizer_;
  args.scheduler = *scheduler_;
  args.rng = true;
  const auto report = load_checkpoint_report(comm_.handle(), directory, args);
  finished_steps_ = step_in(report);
  if (report.user_content) {
    compare_with(*report.user_content, report.contents.tag);
    if (report.user_content->is_object() && report.user_content->contains("last_loss")) {
      const auto& loss = report.user_content->at("last_loss");
      if (loss.is_number()) last_loss_ = loss.get<double>();
    }
  }
  progress_.say(fmt::format("resumed from {}: step {}, saved by {} {}", report.contents.tag, finished_steps_,
                            report.contents.world_size, report.contents.world_size == 1 ? "rank" : "ranks"));
}

// What the tensors and the scheduler do not tell: the heads are cut from tensors of the same shape; other data is
// allowed, but worth a line.
void Trainer::compare_with(const nlohmann::json& user_content, const std::string& tag) {
  if (!user_content.is_object()) return;
  auto now = config_of(options_);
  auto then = user_content.value("config", nlohmann::json::object());
  if (!then.is_object()) return;
  now["text_bytes"] = text_.size_bytes();
  then["text_bytes"] = user_content.value("text_bytes", nlohmann::json());
  const auto differs = [&](const char* key) {
    return then.contains(key) && !then[key].is_null() && then[key] != now[key];
  };
  if (differs("heads")) {
    throw AgreedError(ErrorKind::mismatch, fmt::format("{} was trained with --heads {}, and this run has {}", tag,
                                                       then["heads"].dump(), now["heads"].dump()));
  }
  for (const char* key : {"batch", "seed", "text_bytes"}) {
    if (!differs(key)) continue;
    progress_.say(fmt::format("note: {} is {} now and was {} in the run that saved {}; the losses will differ", key,
                              now[key].dump(), then[key].dump(), tag));
  }
  if (differs("lr")) progress_.say("note: --lr is not used: the learning rate goes on from " + tag);
}

double Trainer::train_step(std::int64_t step) {
  // Up to the update the parameters and moments are those of the step before, which saves may still be copying.
  keep_saving();
  double share = 0;
  together(comm_, [&] { share = compute_gradients(step); });
  keep_saving();
  const double loss = sum_over_ranks(comm_, share);
  gradients_->sum_over_ranks(comm_);
  keep_saving();
  wait_staged();
  together(comm_, [&] {
    optimizer_->step();
    scheduler_->step();
    if (loss_log_) loss_log_->append(step, loss);
  });
  return loss;
}

double Trainer::compute_gradients(std::int64_t step) {
  gradients_->zero();
  if (part_.count == 0) return 0;
  const auto sequences = text_.sequences(options_.seed, step, part_, options_.context);
  const auto logits = model_->forward(sequences.inputs).view({-1, kByteValues});
  const auto losses = torch::cross_entropy_loss(logits, sequences.targets.view({-1}), {}, at::Reduction::None);
  // Every token of the global batch weighs the same, however many sequences this rank has.
  const auto weight = 1.0 / (static_cast<double>(options_.batch) * static_cast<double>(options_.context));
  (losses.sum() * weight).backward();
  return losses.detach().sum(torch::kFloat64).item<double>() * weight;
}

bool Trainer::save_is_due(std::int64_t step) const {
  return step == options_.steps || (options_.save_every != 0 && step % options_.save_every == 0);
}

SaveArgs Trainer::save_args(const std::string& tag) const {
  SaveArgs args;
  args.tag = tag;
  args.step = finished_steps_;
  args.model = model_;
  args.optimizer = optimizer_;
  args.scheduler = *scheduler_;
  args.rng = true;
  args.user_content = {{"step", finished_steps_},
                       {"text", utf8_of(options_.text)},
                       {"text_bytes", text_.size_bytes()},
                       {"config", config_of(options_)},
                       {"last_loss", last_loss_}};
  args.replace_existing = options_.resume != Resume::never || options_.overwrite;
  args.engine = options_.engine;
  args.hints = options_.hints;
  if (options_.keep_last != 0) args.num_kept_ckpts = narrow<int>(options_.keep_last);
  args.async = {.overlap_staging = options_.overlap,
                .max_in_flight = options_.in_flight,
                .when_busy = options_.skip_when_busy || options_.always_saving ? WhenBusy::skip : WhenBusy::wait,
                .write_limit_bytes_per_s = static_cast<std::uint64_t>(options_.write_limit_mb_per_s * kBytesPerMb)};
  return args;
}

void Trainer::save(std::int64_t step) {
  auto args = save_args(tag_of(step));
  if (!options_.async) {
    tell(save_checkpoint(comm_.handle(), options_.directory, args));
    progress_.skip_time();
    return;
  }
  // The last one must not be left out.
  if (step == options_.steps) args.async.when_busy = WhenBusy::wait;
  if (!save_in_background(args)) progress_.say("left out " + args.tag + ": the save before it is in flight still");
}

bool Trainer::save_in_background(SaveArgs& args) {
  auto begun = save_checkpoint_async(comm_.handle(), options_.directory, args);
  tell_of_ended();
  if (begun.skipped()) return false;
  in_flight_.push_back(std::move(begun));
  return true;
}

void Trainer::keep_saving() {
  if (!options_.always_saving || finished_steps_ == 0) return;
  for (int begun = 0; begun < options_.in_flight; ++begun) {  // small ones may end as fast as they begin
    auto args = save_args(fmt::format("{}.{}", tag_of(finished_steps_), extra_saves_ + 1));
    if (!save_in_background(args)) return;
    ++extra_saves_;
  }
}

void Trainer::wait_staged() {
  for (auto& save : in_flight_) save.wait_staged();
}

void Trainer::tell(const SaveReport& report) {
  const auto bytes = static_cast<double>(report.file_bytes);
  auto line = fmt::format("saved {}: {:.2f} MB in {:.3f} s, {:.3f} GB/s", report.tag, bytes / kBytesPerMb,
                          report.total_s, report.total_s > 0 ? bytes / kBytesPerGb / report.total_s : 0);
  if (options_.async) line += fmt::format(", training waited {:.1f} ms", report.blocked_s * 1000);
  progress_.say(line);
}

// Of a save in the background, once it has ended; failures are thrown by the next save.
void Trainer::tell_of_ended() {
  while (!in_flight_.empty() && in_flight_.front().done()) {
    const auto report = in_flight_.front().report();
    if (!report.published) return;
    tell(report);
    in_flight_.pop_front();
  }
}

void Trainer::crash() {
  progress_.say(fmt::format("--crash-at {}: every rank kills itself now", finished_steps_));
  comm_.barrier();  // no rank dies, and takes the job with it, before rank 0 has written its lines
  std::raise(SIGKILL);
  std::abort();  // not reached
}

}  // namespace muster::train
