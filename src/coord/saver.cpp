#include "coord/saver.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <muster/version.hpp>
#include <unordered_map>

#include "base/exact_json.hpp"
#include "base/failpoint.hpp"
#include "base/file_size_signal.hpp"
#include "base/file_system.hpp"
#include "base/hash.hpp"
#include "base/log.hpp"
#include "base/narrow.hpp"
#include "base/posix.hpp"
#include "coord/exchange.hpp"
#include "coord/publish_save.hpp"
#include "coord/rank_tale.hpp"
#include "coord/turn.hpp"
#include "h5/library.hpp"
#include "mpi/agree.hpp"
#include "mpi/info.hpp"
#include "plan/balance.hpp"
#include "plan/description.hpp"
#include "plan/fingerprint.hpp"
#include "plan/layout.hpp"
#include "plan/merge.hpp"
#include "plan/portions.hpp"
#include "store/names.hpp"
#include "store/part.hpp"

namespace muster::coord {

namespace {

void check_options(const SaveOptions& options) {
  store::check_tag(options.tag);
  if (options.num_kept_ckpts && *options.num_kept_ckpts < 1) {
    throw Error(ErrorKind::usage, fmt::format("num_kept_ckpts is {}; it must be at least 1", *options.num_kept_ckpts));
  }
  if (options.num_workers && *options.num_workers < 1) {
    throw Error(ErrorKind::usage, fmt::format("num_workers is {}; it must be at least 1", *options.num_workers));
  }
  mpi::check_hints(options.hints);
}

// The number at the end of the tag: "step_100" is step 100.
std::optional<std::int64_t> step_of(const SaveOptions& options) {
  if (options.step) return options.step;
  const auto& tag = options.tag;
  auto begin = tag.size();
  while (begin > 0 && tag[begin - 1] >= '0' && tag[begin - 1] <= '9') --begin;
  if (begin == tag.size() || tag.size() - begin > 18) return std::nullopt;
  return std::stoll(tag.substr(begin));
}

std::string options_text(const SaveOptions& options) {
  const auto number = [](const auto& value) { return value ? std::to_string(*value) : std::string("unset"); };
  auto text = fmt::format("step={} num_kept_ckpts={} num_workers={} replace_existing={} engine={}",
                          number(options.step), number(options.num_kept_ckpts), number(options.num_workers),
                          options.replace_existing, name(options.engine));
  for (const auto& [key, value] : options.hints) text += fmt::format(" {}={}", key, value);
  return text;
}

// By path; rank 0's are the ones saved.
std::map<std::string, std::string> document_texts(const State& state, const SaveOptions& options) {
  std::map<std::string, std::string> texts;
  for (const auto& [path, value] : state.documents()) texts[path] = to_exact_text(value, path);
  if (!options.user_content.is_null()) texts[kUserContentPath] = to_exact_text(options.user_content, kUserContentPath);
  return texts;
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

// Of all that a plan depends on and this rank knows.
std::uint64_t fingerprint(const State& state, const SaveOptions& options) {
  Hasher hasher;
  for (const auto value :
       {plan::fingerprint(state), narrow<std::uint64_t>(options.num_workers.value_or(0)),
        static_cast<std::uint64_t>(options.engine), static_cast<std::uint64_t>(options.user_content.is_null())}) {
    hasher.add(std::as_bytes(std::span(&value, 1)));
  }
  return hasher.value();
}

void make_readable(const State& state) {
  for (const auto& [description, memory] : state.tensors()) {
    if (memory.before_save) memory.before_save();
    if (memory.data != nullptr || memory.read) continue;
    if (elements_held(description.shard, description.global_shape) > 0)
      throw Error(ErrorKind::usage, description.path + ": nothing to read it from");
  }
}

std::vector<std::uint32_t> datasets_of(const State& state, const Layout& layout) {
  std::unordered_map<std::string_view, std::uint32_t> by_path;
  for (std::uint32_t i = 0; i < layout.datasets.size(); ++i) by_path[layout.datasets[i].path] = i;
  std::vector<std::uint32_t> datasets;
  for (const auto& tensor : state.tensors()) datasets.push_back(by_path.at(tensor.description.path));
  return datasets;
}

engine::LocalShards local_shards(const SavePlan& plan, const State& state) {
  engine::LocalShards shards(plan.layout.datasets.size());
  for (std::size_t i = 0; i < state.tensors().size(); ++i) {
    const auto& [description, memory] = state.tensors()[i];
    const auto& [path, dtype, shape, shard] = description;
    const auto dataset = plan.dataset_of_tensor[i];
    const auto& tile = plan.layout.datasets[dataset].tile;
    const auto range = contiguous_range(shard, shape);
    if (!range || !tile.empty()) {
      shards[dataset] = {&memory, 0, 0, std::make_shared<const ShardMap>(StorageOrder(shape, tile), shard, dtype)};
      continue;
    }
    const auto item = item_bytes(dtype);
    shards[dataset] = {&memory, range->first * item, range->count * item, nullptr};
  }
  return shards;
}

// Who is to hold the same tensors whole.
std::vector<int> peer_groups(const Team& team) {
  const ParallelGrid grid(team.grid, team.comm.size());
  std::vector<int> groups;
  for (int rank = 0; rank < team.comm.size(); ++rank) {
    groups.push_back(grid.group_number(rank, {Axis::tensor, Axis::context, Axis::data}));
  }
  return groups;
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string_view version(text.data(), static_cast<std::size_t>(length));
  return std::string(version.substr(0, version.find_first_of(",\n")));
}

}  // namespace

Saver::Saver(const Team& team, store::Directory& directory, const CheckpointerOptions& options, Engines engines,
             store::ProgressBoard& board)
    : team_(team), directory_(directory), options_(options), engines_(std::move(engines)), board_(board) {}

SaveReport Saver::save(const Describe& describe, const SaveOptions& options) {
  const FileSizeSignalBlock limits_are_errors;
  SaveJob job(options);
  std::unique_ptr<engine::PartWriter> writer;
  try {
    agree(job, describe);
    plan(job);
    open(job);
    mpi::run_agreed(team_.comm, "open", [&] {
      writer = job.engine->open({team_.comm, job.part, &job.plan->layout, job.options.hints});
    });
    job.telemetry.open_s = job.end_phase("open");
    write(job, *writer);
    writer.reset();
    publish(job);
  } catch (const CollectiveError&) {
    writer.reset();
    job.drop_part();
    throw;
  } catch (...) {
    // A deadline that passed: a collective close would wait for the rank that did not come.
    if (job.engine != nullptr && job.engine->is_collective()) static_cast<void>(writer.release());
    writer.reset();
    job.drop_part();
    rethrow_with_missing_ranks();
  }
  fill_report(job);
  job.report.published = true;
  job.report.total_s = job.watch.seconds();
  job.report.blocked_s = job.report.total_s;
  return std::move(job.report);
}

std::shared_ptr<AsyncSave> Saver::begin(const Describe& describe, const SaveOptions& options,
                                        engine::StagingPool& pool) {
  const FileSizeSignalBlock limits_are_errors;
  auto owner = std::make_unique<SaveJob>(options);
  auto& job = *owner;  // lives in `save` later on
  std::shared_ptr<AsyncSave> save;
  try {
    agree(job, describe);
    plan(job);
    if (job.engine->is_collective()) return nullptr;
    open(job);
    auto state = *std::exchange(job.state, nullptr);
    save = std::make_shared<AsyncSave>(std::move(owner), std::move(state));
    mpi::run_agreed(team_.comm, "open", [&] {
      failpoint::pass("async.open");
      const auto& layout = job.plan->layout;
      save->shards = local_shards(*job.plan, save->state);
      save->write = std::make_unique<engine::StagedWrite>(job.part, layout, team_.comm.rank(), pool);
      const auto share = static_cast<double>(save->write->total_bytes()) /
                         static_cast<double>(std::max<std::uint64_t>(layout.payload_bytes, 1));
      save->write->limit_rate(static_cast<double>(options.async.write_limit_bytes_per_s) * share);
    });
    job.telemetry.open_s = job.end_phase("open");
    fill_report(job);
    return save;
  } catch (const CollectiveError&) {
    job.drop_part();
    throw;
  } catch (...) {
    job.drop_part();
    rethrow_with_missing_ranks();
  }
}

void Saver::fill_report(SaveJob& job) const {
  auto& report = job.report;
  const auto& layout = job.plan->layout;
  report.tag = job.options.tag;
  report.file = store::tag_file(directory_.path(), job.options.tag);
  report.payload_bytes = layout.payload_bytes;
  report.file_bytes = layout.file_bytes;
  report.engine = job.engine->name();
  report.engine_reason = job.plan->choice.reason;
  report.direct_bytes = job.written.direct_bytes;
  report.collective_transfers = job.written.collective_transfers;
  report.independent_transfers = job.written.independent_transfers;
}

void Saver::post(const SaveJob& job, store::ProgressPhase phase) {
  at_ = {.save = job.number, .phase = phase};
  board_.post(store::ProgressLane::foreground, at_);
}

void Saver::rethrow_with_missing_ranks() {
  try {
    throw;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::timeout) throw;
    const auto missing = board_.missing(store::ProgressLane::foreground, at_);
    if (missing.empty()) throw;
    throw Error(error.kind(), std::string(error.what()) + ": " + missing);
  }
}

// Local: all that can be wrong with this rank's arguments, and whether they are those of the last save.
void Saver::prepare(SaveJob& job, const Describe& describe) const {
  failpoint::pass("save.agree");
  check_options(job.options);
  job.state = &describe();
  job.phase = "plan";
  failpoint::pass("save.plan");
  job.fingerprint = fingerprint(*job.state, job.options);
  job.phase = "agree";
  // What was checked once need not be checked again.
  if (!kept_ || job.fingerprint != kept_->fingerprint) check_state(*job.state, job.options);
  make_readable(*job.state);
  job.documents = document_texts(*job.state, job.options);
  job.part = store::part_file(directory_.path(), job.options.tag);
  if (!team_.is_root()) return;
  const auto file = store::tag_file(directory_.path(), job.options.tag);
  std::error_code error;
  const bool exists = std::filesystem::exists(file, error);
  if (error) posix::fail("look for", file, error.value());
  if (!job.options.replace_existing && exists) {
    throw Error(ErrorKind::exists, file.string() + " exists already; replacing it was not asked for");
  }
}

void Saver::agree(SaveJob& job, const Describe& describe) {
  const auto& comm = team_.comm;
  job.number = ++saves_;
  post(job, store::ProgressPhase::agree);
  std::exception_ptr failure;
  try {
    prepare(job, describe);
  } catch (...) {
    failure = std::current_exception();
  }
  // One allreduce says all where all is well: nobody failed, the same tag and options everywhere, the plan of before.
  constexpr std::uint64_t kFailedInAgree = 0;
  constexpr std::uint64_t kFailedInPlan = 1;
  constexpr std::uint64_t kPrepared = 2;
  const auto tag = hash_bytes(as_bytes(job.options.tag));
  const auto options = hash_bytes(as_bytes(options_text(job.options)));
  const bool reusable = !failure && fits_kept_plan(job);
  std::array<std::uint64_t, 6> vote{!failure ? kPrepared : (job.phase == "plan" ? kFailedInPlan : kFailedInAgree),
                                    tag,
                                    ~tag,
                                    options,
                                    ~options,
                                    reusable ? std::uint64_t{1} : 0};
  comm.all_min(vote);
  if (vote[0] != kPrepared) mpi::agree(comm, vote[0] == kFailedInPlan ? "plan" : "agree", failure);
  if (vote[1] != ~vote[2]) require_same(comm, "agree", "the tag", "'" + job.options.tag + "'");
  if (vote[3] != ~vote[4]) require_same(comm, "agree", "the options of the save", options_text(job.options));
  job.report.plan_reused = vote[5] == 1;
  job.telemetry.rank = comm.rank();
  job.telemetry.node = team_.node_of_rank[static_cast<std::size_t>(comm.rank())];
  job.telemetry.agree_s = job.end_phase("agree");
}

bool Saver::fits_kept_plan(const SaveJob& job) const {
  if (!kept_ || job.fingerprint != kept_->fingerprint) return false;
  if (!team_.is_root()) return true;
  std::size_t texts = 0;
  for (const auto& dataset : kept_->layout.datasets) {
    if (dataset.kind == DatasetKind::tensor) break;  // texts and tables come first
    if (dataset.kind != DatasetKind::text || dataset.path == kRunPath) continue;
    ++texts;
    const auto document = job.documents.find(dataset.path);
    if (document == job.documents.end() || document->second.size() >= dataset.bytes) return false;
  }
  return texts == job.documents.size();
}

std::vector<DocumentSlot> Saver::slots_for(const std::map<std::string, std::string>& documents) const {
  std::vector<DocumentSlot> slots;
  for (const auto& [path, text] : documents) {
    auto capacity = plan::document_capacity_bytes(text.size());
    // Never smaller than last time, so that a text around a power of two does not change the plan again and again.
    const auto* kept = kept_ ? kept_->layout.find(path) : nullptr;
    if (kept != nullptr && kept->kind == DatasetKind::text) {
      capacity = std::max(capacity, kept->bytes);
    }
    slots.push_back({path, capacity});
  }
  return slots;
}

GlobalState Saver::bring_together(const State& state) const {
  const auto portions = mpi::run_agreed(team_.comm, "plan", [&] { return plan::pack_portions(plan::describe(state)); });
  const auto sayings = all_distinct(team_.comm, portions);
  GlobalState global;
  mpi::run_agreed(team_.comm, "plan", [&] {
    // Every rank comes to the same result; one rank's words are enough.
    try {
      plan::Merger merger(peer_groups(team_));
      for (const auto& saying : sayings) merger.add(saying.ranks, plan::unpack(saying.bytes));
      global = merger.finish();
    } catch (const Error&) {
      if (team_.is_root()) throw;
    }
  });
  return global;
}

void Saver::plan(SaveJob& job) {
  const auto& comm = team_.comm;
  post(job, store::ProgressPhase::plan);
  if (!job.report.plan_reused) {
    auto global = bring_together(*job.state);
    Bytes roots;
    mpi::run_on_root(comm, "plan", [&] {
      ByteWriter writer;
      writer.put_text(file_system_of(directory_.path()));
      for (const auto& slot : slots_for(job.documents)) {
        writer.put_text(slot.path);
        writer.put(slot.capacity_bytes);
      }
      roots = writer.take();
    });
    comm.broadcast(roots, 0);
    kept_.reset();
    mpi::run_agreed(comm, "plan", [&] {
      ByteReader reader(roots);
      const auto file_system = reader.get_text();
      while (!reader.at_end()) {
        auto path = reader.get_text();
        global.documents.push_back({std::move(path), reader.get<std::uint64_t>()});
      }
      const plan::BalanceOptions balance{.node_of_rank = team_.node_of_rank,
                                         .writers_per_node = job.options.num_workers.value_or(0),
                                         .alignment_bytes = options_.alignment_bytes};
      auto layout = plan::lay_out(plan::balance(global, balance), options_.alignment_bytes);
      auto datasets = datasets_of(*job.state, layout);
      kept_ = std::make_shared<SavePlan>(
          SavePlan{job.fingerprint, std::move(layout), std::move(datasets),
                   engine::choose_engine(job.options.engine, file_system, node_count(team_))});
    });
  }
  job.plan = kept_;
  const bool direct = kept_->choice.engine == EngineChoice::direct;
  job.engine = (direct ? engines_.direct : engines_.collective).get();
  job.telemetry.plan_s = job.end_phase("plan");
}

void Saver::open(SaveJob& job) {
  const auto& comm = team_.comm;
  auto& plan = *job.plan;
  mpi::run_agreed(comm, "open", [&] {
    failpoint::pass("save.open");
    if (!team_.is_root()) return;
    directory_.create();
    if (!store::Claim::any_in(directory_.path())) directory_.clear_leftovers();
    job.claim.emplace(job.part, directory_.next_sequence());
    job.part_may_exist = true;
    job.run = run_info(job, job.claim->sequence());
    using HeadWhen = store::PartFile::HeadWhen;
    job.part_file.emplace(job.part, plan.layout, plan.head,
                          job.engine->is_collective() ? HeadWhen::first : HeadWhen::with_tables);
  });
  post(job, store::ProgressPhase::open);
  // Staging comes on top of what planning leaves behind.
  if (!job.report.plan_reused) ::malloc_trim(0);
  if (job.engine->is_collective()) {
    // A rank that does not see the file must say so before the others wait for it in a collective open.
    // MPI-IO opens more than one descriptor, and waits for ever where one rank cannot.
    mpi::run_agreed(comm, "open", [&] {
      constexpr int kDescriptors = 8;
      std::vector<posix::File> probes;
      for (int i = 0; i < kDescriptors; ++i) probes.emplace_back(job.part, O_RDWR);
    });
  }
  require_one_file(job);
}

// Ranks of several nodes may see different directories under one path, and in one of them a leftover of this name.
void Saver::require_one_file(const SaveJob& job) const {
  const auto& comm = team_.comm;
  const auto mine = mpi::run_agreed(comm, "open", [&] { return posix::File(job.part, O_WRONLY).inode(); });
  std::array<std::uint64_t, 2> inodes{mine, ~mine};
  comm.all_min(inodes);
  mpi::run_agreed(comm, "open", [&] {
    if (inodes[0] == ~inodes[1] || mine == inodes[0]) return;
    throw Error(ErrorKind::io, job.part.string() + " is not the same file on every node: the directory must be shared");
  });
}

void Saver::write(SaveJob& job, engine::PartWriter& writer) {
  const auto& comm = team_.comm;
  const auto shards = mpi::run_agreed(comm, "write", [&] {
    failpoint::pass("save.write");
    return local_shards(*job.plan, *job.state);
  });
  post(job, store::ProgressPhase::write);
  const auto before_write_s = job.watch.seconds();
  mpi::run_agreed(comm, "write", [&] {
    const Turn turn(team_, job.engine->is_collective() ? std::nullopt : job.options.num_workers);
    job.written = writer.write(shards);
    post(job, store::ProgressPhase::sync);
  });
  job.report.first_byte_s = before_write_s + job.written.first_byte_s.value_or(0);
  job.telemetry.bytes = job.written.bytes;
  job.telemetry.write_s = job.end_phase("write");
  mpi::run_agreed(comm, "sync", [&] { failpoint::pass("save.sync"); });
  mpi::run_agreed(comm, "sync", [&] {
    writer.sync();
    post(job, store::ProgressPhase::publish);
  });
  job.telemetry.sync_s = job.end_phase("sync");
}

RunInfo Saver::run_info(const SaveJob& job, std::uint64_t sequence) const {
  RunInfo run;
  run.tag = job.options.tag;
  run.step = step_of(job.options);
  run.sequence = sequence;
  run.saved_at = utc_now();
  run.world_size = team_.comm.size();
  run.payload_bytes = job.plan->layout.payload_bytes;
  run.file_bytes = job.plan->layout.file_bytes;
  const auto& grid = team_.grid;
  run.details = {
      {"grid",
       {{"tensor", grid.tensor},
        {"pipeline", grid.pipeline},
        {"data", grid.data},
        {"expert", grid.expert},
        {"context", grid.context},
        {"order", grid.order}}},
      {"nodes", node_count(team_)},
      {"engine", job.engine->name()},
      {"engine_reason", job.plan->choice.reason},
      {"muster_version", kVersion},
      {"hdf5_version", h5::library_version()},
      {"mpi_version", mpi_version()},
  };
  return run;
}

void Saver::publish(SaveJob& job) {
  const auto& comm = team_.comm;
  // Hashes and telemetry to rank 0, which knows from the layout whose extent is whose.
  const RankTale tale{.telemetry = job.telemetry,
                      .blocked_s = job.watch.seconds(),
                      .durable_ns = unix_ns(),
                      .memcpy_bytes_per_s = 0,
                      .hashes = job.written.hashes,
                      .failure = std::nullopt,
                      .phase = {}};
  const auto told = comm.gather(pack(tale, tale.hashes.size()));
  std::vector<RankTale> tales;
  Verdict verdict;
  mpi::run_agreed(comm, "publish", [&] { failpoint::pass("save.publish"); });
  mpi::run_on_root(comm, "publish", [&] {
    const auto extents = extents_of_ranks(job.plan->layout);
    std::int64_t last_durable_ns = 0;
    for (std::size_t rank = 0; rank < told.size(); ++rank) {
      tales.push_back(unpack_tale(told[rank], static_cast<int>(rank), extents[rank]));
      last_durable_ns = std::max(last_durable_ns, tales.back().durable_ns);
    }
    publish_save(directory_.path(), job, tales);
    verdict.publish_s = static_cast<double>(unix_ns() - last_durable_ns) / 1e9;
  });
  job.part_may_exist = false;
  std::array<std::uint64_t, 1> sequence{job.run.sequence};
  comm.all_sum(sequence);  // only rank 0 knows it
  job.report.sequence = sequence[0];
  job.end_phase("publish");
  if (team_.is_root()) {
    retire_old_tags(directory_.path(), job, [&] {
      directory_.note(job.run);
      return job.options.num_kept_ckpts ? directory_.list() : std::vector<store::TagEntry>{};
    });
    note_in_history(directory_.path(), job, tales, verdict);
  }
  post(job, store::ProgressPhase::done);
}

}  // namespace muster::coord
