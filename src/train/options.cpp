#include "train/options.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <muster/version.hpp>
#include <vector>

#include "mpi/info.hpp"
#include "policy/signal_watch.hpp"
#include "program/run.hpp"

namespace muster::train {
namespace {

namespace po = boost::program_options;
using program::require_at_least_0;
using program::require_between;
using program::UsageError;
using program::value;

constexpr const char* kIntroduction =
    R"(muster-train: trains a byte-level GPT over MPI ranks, data, tensor and pipeline parallel, with checkpoints by muster
that any grid of ranks can go on from.

Usage:
  mpirun -n RANKS muster-train --text FILE --dir DIR [options]

Examples:
  mpirun -n 2 muster-train --text book.txt --dir ckpts              100 steps, saved as step_50 and step_100
  mpirun -n 4 muster-train --text book.txt --dir ckpts --steps 200  goes on from step_100, on 4 ranks now
  mpirun -n 2 muster-train --text book.txt --dir ckpts --steps 200 --resume step_50
                                                                    goes back to step_50 and replaces what follows
  mpirun -n 2 muster-train --text book.txt --dir other --resume never --loss-log loss.csv --crash-at 30
                                                                    every rank dies by SIGKILL after step 30
  mpirun -n 4 muster-train --text book.txt --dir grid --tp 2        2 x 2 ranks: each has half of every layer, for half of
                                                                    the sequences
  mpirun -n 2 muster-train --text book.txt --dir grid --steps 200 --pp 2 --zero1
                                                                    goes on from that with other parts on fewer ranks
)";

constexpr const char* kExplanation = R"(
Reproducible: a sequence may start at any byte of the text, and each epoch takes each of these once, in an order that
depends on --seed and the length of the text alone. Checkpoints say which comes next. So a run that was killed and
resumed on the same grid goes through the same losses to the last bit, and on another grid through the same losses but
for rounding. The loss of a step is the mean over the whole batch before the step's update.

Grids: RANKS = tp * pp * dp, and rank r is tensor parallel rank r % tp, data parallel rank r / tp % dp, and of stage
r / (tp * dp).
  --tp N   N ranks share every layer: of attention each has some heads, of the MLP some hidden values, of embedding and
           head some of the 256 byte values. They add up float32 numbers over MPI, twice a layer and pass. N divides --heads.
  --pp N   N stages have the layers one behind the other, and pass on activations and their gradients. At most one stage
           a layer.
  --dp N   N groups of tp * pp ranks see each its part of the batch, and add up gradients.
  --zero1  the ranks of different --dp keep the optimizer's state of their rows of each parameter only, update these, and
           hand them to each other.
  --bf16   weights, activations and their gradients are bfloat16; sums of gradients, the optimizer and the masters that
           it updates are float32. Checkpoints leave out the weights, which are the masters rounded;
           --keep-bf16-weights puts them in, for programs that read nothing but the model.
The initial weights depend on --seed alone, so all grids go through the same losses but for rounding (that of bfloat16
with --bf16). A checkpoint fits every grid, with and without --zero1 and --bf16.

Checkpoints: tag "step_N" is the state after N steps: model, optimizer, scheduler, generators, and {"step", "text",
"text_bytes", "config", "last_loss"} as user content. Look at them with `muster ls DIR`, or with h5dump.

Resuming:
  auto    the newest sound checkpoint in DIR; where DIR holds none at all, from the start. Later tags are replaced
          when the run comes to them again (there are some if the newest was damaged).
  TAG     this one. Later tags are replaced when the run comes to them again.
  never   from the start. Refuses a DIR that holds checkpoints, unless --overwrite is given as well: then the tags
          that this run saves replace those of the same name, and the others stay until --keep-last retires them.
The learning rate goes on from the checkpoint, so --lr counts for a run from the start only. The shape of the model,
the optimizer and the schedule must be those of the checkpoint; --batch, --seed and --text may change.
With --loss-log the lines up to the resumed step are kept and those after it dropped.

When to save and stop besides: each rank listens to the signals of --on-signal, and all ranks act at the end of the step
after next at the latest. Before the job's time limit (MUSTER_JOB_END or SLURM_JOB_END_TIME, in seconds since 1970, else
asked of Slurm) the run saves and stops as late as a save still fits that takes up to 1.5 times as long as the last ones.

Exit status:
  0  done (or help was asked for)
  1  no such checkpoint, or it is damaged, or it does not fit this model
  2  wrong usage: an option or its value, a text that cannot be read or is too short
  3  could not read or write, or anything else that went wrong
  4  superseded: a later start of this job has taken the directory; nothing of it was changed
  5  another job holds the directory, the message says which; nothing of it was changed
 75  stopped before the last step, by a signal or the job's end; saved: the same command goes on
 85  the same with --requeue: rank 0 has asked Slurm to start the job again. Where that fails, a warning says why, and
     Slurm does it for jobs that end with the cluster's RequeueExit
)";

// What a parse fills in besides the values that go straight into the options.
struct Raw {
  std::string text;
  std::string directory;
  std::string loss_log;
  std::string sample_log;
  std::string resume = "auto";
  std::string optimizer = "adamw";
  std::string engine = "auto";
  std::string overlap;
  std::string on_signal = "USR1=stop,TERM=stop,USR2=save";
  std::vector<std::string> hints;
  std::int64_t crash_at = 0;
  std::int64_t always_saving = 0;
};

program::CommandLine describe(Options& options, Raw& raw) {
  program::CommandLine line(kIntroduction, kExplanation);
  line.add("Files")                                                                                                   //
      ("text", po::value(&raw.text)->value_name("FILE"), "the text to learn: any file, read as bytes (required)")     //
      ("dir", po::value(&raw.directory)->value_name("DIR"), "where the checkpoints are (required; made if missing)")  //
      ("loss-log", po::value(&raw.loss_log)->value_name("FILE"),
       "write `step,loss` lines to this CSV file, the loss with all its digits")  //
      ("sample-log", po::value(&raw.sample_log)->value_name("FILE"),
       "write `step,samples` lines to this CSV file: where in the text the sequences of the step start");

  line.add("Run")                                                                                              //
      ("steps", value(options.steps, "N"), "train up to this step, counted from the very start")               //
      ("save-every", value(options.save_every, "K"), "save every K steps and at the end; 0: at the end only")  //
      ("save-minutes", value(options.save_minutes, "T"),
       "save when T minutes have passed since the last save; 0: never")  //
      ("mtbf", value(options.mtbf_hours, "HOURS"),
       "mean time between failures of the job: save at the interval that loses the least time; 0: unknown")  //
      ("on-signal", value(raw.on_signal, "LIST"), "what signals to a rank do: save, or save and stop")       //
      ("ignore-job-end", po::bool_switch(&options.ignore_job_end),
       "do not save and stop before the job's time limit, see below")  //
      ("first-save-seconds", value(options.first_save_seconds, "S"),
       "what the first save may take, for the job's end; later ones are judged by those before, of earlier starts "
       "too")  //
      ("requeue", po::bool_switch(&options.requeue),
       "where the run stops before its last step, ask Slurm to start the job again")                            //
      ("keep-last", value(options.keep_last, "N"), "keep this many newest checkpoints; 0: all")                 //
      ("resume", value(raw.resume, "auto|never|TAG"), "what to start from, see below")                          //
      ("overwrite", po::bool_switch(&options.overwrite), "with --resume never: replace tags of the same name")  //
      ("new-samples", po::bool_switch(&options.new_samples),
       "at a resume with another --text or --seed: begin a new stream of samples, which is refused otherwise")  //
      ("engine", value(raw.engine, "auto|direct|collective"), "how checkpoints are written; auto is right")     //
      ("hint", po::value(&raw.hints)->composing()->value_name("KEY=VALUE"),
       "for MPI-IO, with the engine collective: striping_factor=8, ...; may be repeated")          //
      ("async", po::bool_switch(&options.async), "save in the background while training goes on")  //
      ("overlap", po::value(&raw.overlap)->implicit_value("auto")->value_name("auto|copying|writing"),
       "with --async: save beside the next step's forward and backward pass, too: copy the state, or write it as it "
       "lies there, which is less work but may leave more to copy before the update; auto writes where the ranks "
       "keep all cores busy")  //
      ("skip-when-busy", po::bool_switch(&options.skip_when_busy),
       "with --async: leave a save out where the one before is in flight still, instead of waiting for it")  //
      ("always-saving", po::value(&raw.always_saving)->implicit_value(0)->value_name("N"),
       "with --async, to see what it costs: one save behind the other all the time, several a step; with N: N steps "
       "without and N steps with them, in turns; 0: always")                                                     //
      ("in-flight", value(options.in_flight, "N"), "with --async: saves in flight at once, each with its copy")  //
      ("write-limit", value(options.write_limit_mb_per_s, "MB/S"),
       "with --async: write at most so fast, all ranks together; 0: as fast as it goes")  //
      ("crash-at", po::value(&raw.crash_at)->value_name("STEP"),
       "every rank kills itself with SIGKILL after this step's update and log line, before its save");

  line.add("Model and data")                                                                //
      ("batch", value(options.batch, "B"), "sequences a step, over all ranks together")     //
      ("context", value(options.context, "L"), "bytes a sequence")                          //
      ("layers", value(options.layers, "n"), "transformer blocks")                          //
      ("width", value(options.width, "d"), "size of the embedding, a multiple of --heads")  //
      ("heads", value(options.heads, "h"), "attention heads a block")                       //
      ("seed", value(options.seed, "s"), "of the initial weights and of the order of the data");

  line.add("Grid and precision, see below")                                                        //
      ("tp", value(options.tensor_parallel, "N"), "tensor parallel: ranks that share each layer")  //
      ("pp", value(options.pipeline_parallel, "N"), "pipeline parallel: stages of layers")         //
      ("dp", value(options.data_parallel, "N"),
       "data parallel: parts of the batch; 0: what --tp and --pp leave of the ranks")  //
      ("micro-batches", value(options.micro_batches, "N"),
       "parts in which the sequences of a rank go through the stages; 0: as many as stages")                  //
      ("zero1", po::bool_switch(&options.zero1), "ZeRO-1: data parallel ranks divide the optimizer's state")  //
      ("bf16", po::bool_switch(&options.bf16), "weights in bfloat16, with masters in float32")                //
      ("keep-bf16-weights", po::bool_switch(&options.keep_bf16_weights),
       "with --bf16: save the weights, too, which a load can make from the masters");

  line.add("Optimizer")                                                                                   //
      ("optimizer", value(raw.optimizer, "adamw|sgd"), "sgd has a momentum of 0.9")                       //
      ("lr", value(options.lr, "x"), "learning rate at the start")                                        //
      ("lr-step", value(options.lr_step, "N"), "multiply the learning rate by --lr-gamma every N steps")  //
      ("lr-gamma", value(options.lr_gamma, "x"), "1 keeps the learning rate as it is");

  line.add("Output")                                                                                                //
      ("log-every", value(options.log_every, "N"), "steps between lines of progress, where output is no terminal")  //
      ("quiet", po::bool_switch(&options.quiet), "print nothing but warnings and errors")                           //
      ("version", "show the version");

  return line;
}

void require_positive(const char* option, double value) {
  if (std::isfinite(value) && value > 0) return;
  throw UsageError(fmt::format("{} is {}, and must be a number above 0", option, value));
}

// "USR1=stop,USR2=save"; empty: none.
std::map<int, OnSignal> parse_signals(const std::string& text) {
  std::map<int, OnSignal> signals;
  for (const auto& item : program::split(text)) {
    const auto equals = item.find('=');
    const auto action = equals == std::string::npos ? std::string() : item.substr(equals + 1);
    if (action != "stop" && action != "save") {
      throw UsageError("--on-signal has \"" + item + "\", and takes SIGNAL=stop or SIGNAL=save, separated by commas");
    }
    signals[policy::signal_number(item.substr(0, equals))] =
        action == "stop" ? OnSignal::save_and_stop : OnSignal::save;
  }
  return signals;
}

void require_valid(const Options& options) {
  constexpr std::int64_t kManySteps = 1'000'000'000'000;
  constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
  if (options.text.empty()) throw UsageError("--text is missing: the file to learn");
  if (options.directory.empty()) throw UsageError("--dir is missing: the directory of the checkpoints");
  require_between("--steps", options.steps, 1, kManySteps);
  require_between("--save-every", options.save_every, 0, kManySteps);
  require_at_least_0("--first-save-seconds", options.first_save_seconds);
  require_at_least_0("--save-minutes", options.save_minutes);
  require_at_least_0("--mtbf", options.mtbf_hours);
  require_between("--keep-last", options.keep_last, 0, kInt32Max);
  require_between("--in-flight", options.in_flight, 1, 1 << 10);
  require_between("--batch", options.batch, 1, 1 << 20);
  require_between("--context", options.context, 1, 1 << 20);
  require_between("--layers", options.layers, 1, 1 << 12);
  require_between("--width", options.width, 1, 1 << 18);
  require_between("--heads", options.heads, 1, 1 << 18);
  if (options.width % options.heads != 0) {
    throw UsageError("--width is " + std::to_string(options.width) + ", and must be a multiple of --heads, " +
                     std::to_string(options.heads));
  }
  require_between("--tp", options.tensor_parallel, 1, kInt32Max);
  require_between("--pp", options.pipeline_parallel, 1, kInt32Max);
  require_between("--dp", options.data_parallel, 0, kInt32Max);
  require_between("--micro-batches", options.micro_batches, 0, 1 << 20);
  if (options.keep_bf16_weights && !options.bf16) throw UsageError("--keep-bf16-weights is for --bf16");
  require_between("--seed", options.seed, 0, std::numeric_limits<std::int64_t>::max());
  require_positive("--lr", options.lr);
  require_between("--lr-step", options.lr_step, 1, kInt32Max);
  require_positive("--lr-gamma", options.lr_gamma);
  require_between("--log-every", options.log_every, 1, kManySteps);
  if (options.crash_at) require_between("--crash-at", *options.crash_at, 1, options.steps);
  if (options.resume == Resume::tag && options.resume_tag.empty())
    throw UsageError("--resume needs auto, never or a tag");
  if (options.always_saving) require_between("--always-saving", *options.always_saving, 0, options.steps - 1);
  if (!options.async && (options.overlap || options.skip_when_busy || options.always_saving || options.in_flight != 1 ||
                         options.write_limit_mb_per_s != 0)) {
    throw UsageError("--overlap, --skip-when-busy, --always-saving, --in-flight and --write-limit are for --async");
  }
  require_at_least_0("--write-limit", options.write_limit_mb_per_s);
  if (options.overwrite && options.resume != Resume::never) throw UsageError("--overwrite is for --resume never");
  if (options.new_samples && options.resume == Resume::never) throw UsageError("--new-samples is for a resume");
}

}  // namespace

std::optional<Options> parse_command_line(const program::Arguments& arguments) {
  Options options;
  Raw raw;
  auto line = describe(options, raw);
  if (!line.parse(arguments)) return std::nullopt;
  if (line.has("version")) {
    if (program::own_rank() == 0) fmt::print("muster-train {}\n", kVersion);
    return std::nullopt;
  }
  options.text = raw.text;
  options.directory = raw.directory;
  options.loss_log = raw.loss_log;
  options.sample_log = raw.sample_log;
  if (raw.resume == "never") {
    options.resume = Resume::never;
  } else if (raw.resume != "auto") {
    options.resume = Resume::tag;
    options.resume_tag = raw.resume;
  }
  options.optimizer = program::named<OptimizerKind>("--optimizer", raw.optimizer,
                                                    {{"adamw", OptimizerKind::adamw}, {"sgd", OptimizerKind::sgd}});
  options.signals = parse_signals(raw.on_signal);
  options.engine = engine_choice(raw.engine);
  if (!raw.overlap.empty()) {
    options.overlap = program::named<Overlap>(
        "--overlap", raw.overlap,
        {{"auto", Overlap::automatic}, {"copying", Overlap::copying}, {"writing", Overlap::writing}});
  }
  options.hints = mpi::parse_hints(raw.hints);
  if (line.has("crash-at")) options.crash_at = raw.crash_at;
  if (line.has("always-saving")) options.always_saving = raw.always_saving;
  require_valid(options);
  return options;
}

Grid grid_of(const Options& options) {
  return {.tensor = options.tensor_parallel, .pipeline = options.pipeline_parallel, .data = options.data_parallel};
}

nlohmann::json config_of(const Options& options) {
  return {{"batch", options.batch},
          {"context", options.context},
          {"layers", options.layers},
          {"width", options.width},
          {"heads", options.heads},
          {"seed", options.seed},
          {"optimizer", options.optimizer == OptimizerKind::sgd ? "sgd" : "adamw"},
          {"lr", options.lr},
          {"lr_step", options.lr_step},
          {"lr_gamma", options.lr_gamma}};
}

}  // namespace muster::train
