#include "train/resume.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <muster/error.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "train/collectives.hpp"

namespace muster::train {
namespace {

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

// Collective. As rank 0 sees it.
bool directory_exists(const mpi::CommView& comm, const std::filesystem::path& directory) {
  std::error_code ignored;  // what cannot be looked at is told by who reads it
  std::array<std::byte, 1> exists{};
  if (comm.rank() == 0) exists[0] = std::byte{std::filesystem::is_directory(directory, ignored)};
  comm.broadcast(exists, 0);
  return exists[0] != std::byte{};
}

// The config of the run that saved this; none where something else did.
nlohmann::json config_in(const nlohmann::json* user_content) {
  if (user_content == nullptr || !user_content->is_object()) return nlohmann::json::object();
  auto config = user_content->value("config", nlohmann::json::object());
  return config.is_object() ? config : nlohmann::json::object();
}

bool differ(const nlohmann::json& then, const nlohmann::json& now, const char* key) {
  return then.contains(key) && !then[key].is_null() && then[key] != now[key];
}

// One line instead of one a tensor, and more than tensors tell: heads are cut from tensors of the same shape.
void require_same_model(const CheckpointContents& contents, const Options& options) {
  const auto now = config_of(options);
  const auto then = config_in(contents.find_document("/user_content"));
  std::string differences;
  for (const char* key : {"context", "layers", "width", "heads"}) {
    if (!differ(then, now, key)) continue;
    differences +=
        fmt::format("{}--{} {} and not {}", differences.empty() ? "" : ", ", key, then[key].dump(), now[key].dump());
  }
  if (differences.empty()) return;
  throw Error(ErrorKind::mismatch, fmt::format("{} was trained with {}", contents.tag, differences));
}

// What is allowed, but worth a line.
void compare_with(const nlohmann::json& user_content, const std::string& tag, const Options& options,
                  std::uint64_t text_bytes, Progress& progress) {
  if (!user_content.is_object()) return;
  auto now = config_of(options);
  auto then = config_in(&user_content);
  now["text_bytes"] = text_bytes;
  then["text_bytes"] = user_content.value("text_bytes", nlohmann::json());
  for (const char* key : {"batch", "seed", "text_bytes"}) {
    if (!differ(then, now, key)) continue;
    progress.say(fmt::format("note: {} is {} now and was {} in the run that saved {}; the losses will differ", key,
                             now[key].dump(), then[key].dump(), tag));
  }
  if (differ(then, now, "lr")) progress.say("note: --lr is not used: the learning rate goes on from " + tag);
}

}  // namespace

std::optional<Resumed> resume(const mpi::CommView& comm, const Options& options, std::uint64_t text_bytes,
                              Checkpointer& checkpoints, const StateSource& state, StepSamples& samples,
                              Progress& progress) {
  const auto& directory = options.directory;
  if (options.resume == Resume::never && !options.overwrite) {
    refuse_checkpoints(comm, directory, ErrorKind::usage,
                       " holds checkpoints already: go on from them with --resume auto, name another --dir, or "
                       "replace them with --resume never --overwrite");
  }
  if (options.resume == Resume::never) return std::nullopt;
  // First of all, so that no rank of an earlier start that lives on somewhere publishes anything that this run does not
  // know.
  if (directory_exists(comm, directory)) checkpoints.own();
  if (options.resume == Resume::newest && !checkpoints.latest_tag()) {
    refuse_checkpoints(comm, directory, ErrorKind::corrupt,
                       " holds checkpoints, but none of them is sound: see `muster verify`, name another --dir, or "
                       "replace them with --resume never --overwrite");
    progress.say("no checkpoint in " + directory.string() + ": starting afresh");
    return std::nullopt;
  }

  LoadOptions load;
  if (options.resume == Resume::tag) load.tag = options.resume_tag;
  load.convert_dtypes = true;  // from a run with --bf16 to one without, and back
  load.check = [&](const CheckpointContents& contents) {
    require_same_model(contents, options);
    const auto* user_content = contents.find_document("/user_content");
    auto unchanged = samples;
    if (user_content != nullptr) unchanged.load_from(*user_content, contents.tag, options.new_samples);
  };
  const auto report = checkpoints.load(state, load);
  Resumed resumed{.step = step_in(report), .last_loss = std::nullopt};
  if (report.user_content) {
    compare_with(*report.user_content, report.contents.tag, options, text_bytes, progress);
    if (report.user_content->is_object() && report.user_content->contains("last_loss")) {
      const auto& loss = report.user_content->at("last_loss");
      if (loss.is_number()) resumed.last_loss = loss.get<double>();
    }
  }
  const auto note =
      samples.load_from(report.user_content.value_or(nlohmann::json()), report.contents.tag, options.new_samples);
  if (!note.empty()) progress.say(note);
  progress.say(fmt::format("resumed from {}: step {}, saved by {} {}", report.contents.tag, resumed.step,
                           report.contents.world_size, report.contents.world_size == 1 ? "rank" : "ranks"));
  return resumed;
}

void prepare_directory(const mpi::CommView& comm, Checkpointer& checkpoints) {
  const auto& directory = checkpoints.directory();
  together(comm, [&] {
    if (comm.rank() != 0) return;
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (!error && access(directory.c_str(), W_OK | X_OK) != 0) error.assign(errno, std::generic_category());
    if (error) throw Error(ErrorKind::io, "--dir: cannot write to " + directory.string() + ": " + error.message());
  });
  checkpoints.own();
}

}  // namespace muster::train
