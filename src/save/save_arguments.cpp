#include "save/save_arguments.hpp"

#include <fmt/format.h>

#include "base/exact_json.hpp"
#include "base/hash.hpp"
#include "base/narrow.hpp"
#include "engine/staging_pool.hpp"
#include "model/layout.hpp"
#include "model/shard_boxes.hpp"
#include "plan/description.hpp"
#include "plan/fingerprint.hpp"
#include "store/names.hpp"

namespace muster::save {

namespace {

void check_async_options(const AsyncOptions& async, EngineChoice engine) {
  if (engine == EngineChoice::collective) {
    throw Error(ErrorKind::usage,
                "async saves need the engine direct: parallel HDF5 cannot write while the program goes on");
  }
  if (async.max_in_flight < 1) {
    throw Error(ErrorKind::usage, fmt::format("max_in_flight is {}; it must be at least 1", async.max_in_flight));
  }
  constexpr std::uint64_t kLeastStaging = 2 * engine::StagingPool::kBufferBytes;
  if (async.staging_limit_bytes != 0 && async.staging_limit_bytes < kLeastStaging) {
    throw Error(ErrorKind::usage, fmt::format("staging_limit_bytes is {}; it must be at least {}, or 0",
                                              async.staging_limit_bytes, kLeastStaging));
  }
}

}  // namespace

void check_options(const SaveOptions& options, const CheckpointerOptions& run, bool is_async) {
  if (is_async) check_async_options(options.async, run.engine);
  store::check_tag(options.tag);
  if (options.num_workers && *options.num_workers < 1) {
    throw Error(ErrorKind::usage, fmt::format("num_workers is {}; it must be at least 1", *options.num_workers));
  }
}

std::string options_text(const SaveOptions& options, bool is_async) {
  const auto number = [](const auto& value) { return value ? std::to_string(*value) : std::string("unset"); };
  auto text = fmt::format("step={} num_workers={} replace_existing={}", number(options.step),
                          number(options.num_workers), options.replace_existing);
  if (is_async) {
    const auto& async = options.async;
    text +=
        fmt::format(" max_in_flight={} when_busy={} overlap_staging={} write_limit_bytes_per_s={}", async.max_in_flight,
                    static_cast<int>(async.when_busy), async.overlap_staging, async.write_limit_bytes_per_s);
  }
  return text;
}

void check_state(const State& state, const SaveOptions& options) {
  if (options.user_content.is_null()) {
    plan::check_state(state);
    return;
  }
  auto with_content = state;
  with_content.add(Document{kUserContentPath, nullptr});
  plan::check_state(with_content);
}

void make_readable(const State& state) {
  for (const auto& [description, memory] : state.tensors()) {
    if (memory.before_save) memory.before_save();
    if (memory.data != nullptr || memory.read) continue;
    if (elements_held(description.shard, description.shape) > 0)
      throw Error(ErrorKind::usage, description.path + ": nothing to read it from");
  }
}

std::map<std::string, std::string> document_texts(const State& state, const SaveOptions& options,
                                                  const DocumentContributions& contributions) {
  std::map<std::string, std::string> texts;
  for (const auto& [path, value, own_contribution, join] : state.documents()) {
    const auto said = contributions.find(path);
    const bool is_joined = join && said != contributions.end();
    texts[path] = to_exact_text(is_joined ? join(said->second) : value, path);
  }
  if (!options.user_content.is_null()) texts[kUserContentPath] = to_exact_text(options.user_content, kUserContentPath);
  return texts;
}

std::uint64_t fingerprint(const State& state, const SaveOptions& options) {
  Hasher hasher;
  for (const auto value : {plan::fingerprint(state), narrow<std::uint64_t>(options.num_workers.value_or(0)),
                           static_cast<std::uint64_t>(options.user_content.is_null())}) {
    hasher.add(std::as_bytes(std::span(&value, 1)));
  }
  return hasher.value();
}

}  // namespace muster::save
