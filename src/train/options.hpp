#pragma once
// The command line of muster-train. Local: every rank parses its own copy; knows no Torch.

#include <cstdint>
#include <filesystem>
#include <map>
#include <muster/checkpoint.hpp>
#include <muster/grid.hpp>
#include <muster/policy.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "program/command_line.hpp"

namespace muster::train {

enum class OptimizerKind { adamw, sgd };
enum class Resume { newest, never, tag };

struct Options {
  std::filesystem::path text;
  std::filesystem::path directory;
  std::filesystem::path loss_log;    // empty: none
  std::filesystem::path sample_log;  // empty: none
  std::int64_t steps = 100;
  std::int64_t save_every = 50;  // 0: at the end only
  double save_minutes = 0;       // 0: not by time
  double first_save_seconds = 60;
  double mtbf_hours = 0;  // 0: not known
  std::map<int, OnSignal> signals = SavePolicyOptions().signals;
  bool ignore_job_end = false;
  bool requeue = false;
  std::int64_t keep_last = 3;  // 0: all
  Resume resume = Resume::newest;
  std::string resume_tag;  // with Resume::tag
  bool overwrite = false;
  bool new_samples = false;
  EngineChoice engine = EngineChoice::automatic;
  std::map<std::string, std::string> hints;

  bool async = false;
  std::optional<Overlap> overlap = {};  // of saves with the next step; none: the call copies the state
  bool skip_when_busy = false;
  std::optional<std::int64_t> always_saving = {};  // in every other so many steps; 0: in all
  int in_flight = 1;
  double write_limit_mb_per_s = 0;  // 0: none

  int tensor_parallel = 1;
  int pipeline_parallel = 1;
  int data_parallel = 0;           // 0: what the others leave of the ranks
  std::int64_t micro_batches = 0;  // 0: as many as stages
  bool zero1 = false;
  bool bf16 = false;
  bool keep_bf16_weights = false;

  std::int64_t batch = 16;
  std::int64_t context = 64;
  std::int64_t layers = 2;
  std::int64_t width = 64;
  std::int64_t heads = 4;
  std::int64_t seed = 1;

  OptimizerKind optimizer = OptimizerKind::adamw;
  double lr = 1e-3;
  std::int64_t lr_step = 1000;
  double lr_gamma = 0.5;

  std::optional<std::int64_t> crash_at;
  std::int64_t log_every = 10;
  bool quiet = false;
};

// Nothing if the help or the version was asked for: rank 0 has printed it. Throws Error{usage} that says which value is
// wrong and what it may be.
std::optional<Options> parse_command_line(const program::Arguments& arguments);

// The grid that the options ask for; its data degree may be open still.
Grid grid_of(const Options& options);

// What a checkpoint records about the run, under "config". Nothing of the grid: that may change from run to run.
nlohmann::json config_of(const Options& options);

}  // namespace muster::train
