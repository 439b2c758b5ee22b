#include "store/verify.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/clock.hpp"
#include "base/narrow.hpp"
#include "cli/command.hpp"
#include "cli/selection.hpp"
#include "h5/catalog_reader.hpp"
#include "model/catalog_bytes.hpp"
#include "mpi/agree.hpp"
#include "program/run.hpp"

namespace muster::cli {

namespace {

using nlohmann::json;

constexpr double kTimeoutS = 24 * 3600;  // a rank may have a lot to read before it meets the others

// One checkpoint's result, complete on rank 0.
struct Outcome {
  std::filesystem::path file;
  std::uint64_t bytes = 0;  // of the file that were checked
  std::uint64_t tensors = 0;
  std::string fault;  // of head or tables, which keeps the rest from being looked at
  std::vector<store::Damage> damages;
  double seconds = 0;

  [[nodiscard]] bool sound() const { return fault.empty() && damages.empty(); }
};

// Bytes done, on the terminal of a person who waits.
class Progress {
 public:
  Progress(const std::filesystem::path& file, std::uint64_t total, bool shown) : total_(total), shown_(shown) {
    if (shown_) name_ = file.filename().string();
  }
  void operator()(std::uint64_t done) {
    if (!shown_ || watch_.seconds() < next_s_) return;
    next_s_ = watch_.seconds() + 0.2;
    fmt::print(stderr, "\r{}: {} of about {}  ", name_, human_bytes(done), human_bytes(total_));
    drawn_ = true;
  }
  ~Progress() {
    if (drawn_) fmt::print(stderr, "\r\033[K");
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  std::string name_;
  std::uint64_t total_;
  bool shown_;
  bool drawn_ = false;
  double next_s_ = 0.5;
  Stopwatch watch_;
};

store::VerifyResult check_share(const std::filesystem::path& file, const Catalog& catalog, store::Share share) {
  const bool shown = share.index == 0 && isatty(STDERR_FILENO) != 0;
  Progress progress(file, catalog.file_bytes / static_cast<std::uint64_t>(share.count), shown);
  return store::verify(file, catalog, share, [&](std::uint64_t done) { progress(done); });
}

Bytes pack(const store::VerifyResult& result) {
  ByteWriter writer;
  writer.put(result.bytes);
  for (const auto& damage : result.damages) {
    writer.put(damage.offset);
    writer.put(damage.bytes);
    writer.put_text(damage.tensor);
    writer.put(damage.in_tensor);
    writer.put(damage.writer);
    writer.put_text(damage.cause);
  }
  return writer.take();
}

void add(Outcome& outcome, std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  outcome.bytes += reader.get<std::uint64_t>();
  while (!reader.at_end()) {
    store::Damage damage;
    damage.offset = reader.get<std::uint64_t>();
    damage.bytes = reader.get<std::uint64_t>();
    damage.tensor = reader.get_text();
    damage.in_tensor = reader.get<std::uint64_t>();
    damage.writer = reader.get<int>();
    damage.cause = reader.get_text();
    outcome.damages.push_back(std::move(damage));
  }
}

Outcome verify_alone(const std::filesystem::path& file) {
  Outcome outcome;
  outcome.file = file;
  const Stopwatch watch;
  try {
    const auto catalog = h5::read_catalog(file);
    auto result = check_share(file, catalog, {});
    outcome.tensors = catalog.tensors.size();
    outcome.bytes = catalog.head_bytes + catalog.tables_bytes + result.bytes;
    outcome.damages = std::move(result.damages);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    outcome.fault = error.what();
  }
  outcome.seconds = watch.seconds();
  return outcome;
}

// Collective: rank 0 reads the catalog, each rank checks its share.
Outcome verify_together(const mpi::CommView& comm, const std::filesystem::path& file) {
  Outcome outcome;
  outcome.file = file;
  const Stopwatch watch;
  Bytes packed;
  try {
    mpi::run_on_root(comm, "read", [&] { packed = muster::pack(h5::read_catalog(file)); });
    comm.broadcast(packed, 0);
    const auto catalog = unpack_catalog(packed);
    outcome.tensors = catalog.tensors.size();
    const auto result = mpi::run_agreed(
        comm, "verify", [&] { return check_share(file, catalog, {.index = comm.rank(), .count = comm.size()}); });
    for (const auto& bytes : comm.gather(pack(result))) add(outcome, bytes);
    outcome.bytes += catalog.head_bytes + catalog.tables_bytes;
  } catch (const CollectiveError& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    outcome.fault = error.failures().front().message;
  }
  outcome.seconds = watch.seconds();
  return outcome;
}

json as_json(const Outcome& outcome) {
  json damages = json::array();
  for (const auto& damage : outcome.damages) {
    damages.push_back({{"dataset", damage.tensor},
                       {"first_byte", damage.tensor.empty() ? damage.offset : damage.in_tensor},
                       {"bytes", damage.bytes},
                       {"file_offset", damage.offset},
                       {"writer", damage.writer},
                       {"cause", damage.cause}});
  }
  return {{"file", outcome.file.string()}, {"sound", outcome.sound()}, {"bytes", outcome.bytes},
          {"tensors", outcome.tensors},    {"fault", outcome.fault},   {"damages", std::move(damages)},
          {"seconds", outcome.seconds}};
}

void print_text(const Outcome& outcome) {
  if (outcome.sound()) {
    fmt::print("{}: sound: {} in {} tensors, every byte checked, {:.2f} s ({:.2f} GB/s)\n", outcome.file.string(),
               human_bytes(outcome.bytes), outcome.tensors, outcome.seconds,
               static_cast<double>(outcome.bytes) / outcome.seconds / 1e9);
    return;
  }
  if (!outcome.fault.empty()) fmt::print("damaged: {}\n", outcome.fault);
  for (const auto& damage : outcome.damages) {
    fmt::print("damaged: {}: {}\n", outcome.file.string(), damage.text());
  }
}

std::vector<std::filesystem::path> selected_files(const Parser& parser) {
  if (!parser.has("all")) return {selected_file(parser.path(), parser.get<std::string>("tag"))};
  if (parser.has("tag")) throw UsageError("--all and --tag do not go together");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : entries_of(parser.path())) files.push_back(entry.file);
  if (files.empty()) throw Error(ErrorKind::not_found, "no checkpoints in " + parser.path().string());
  return files;
}

int report(const std::vector<Outcome>& outcomes, bool as_json_text) {
  bool sound = true;
  json all = json::array();
  for (const auto& outcome : outcomes) {
    sound = sound && outcome.sound();
    if (as_json_text) {
      all.push_back(as_json(outcome));
    } else {
      print_text(outcome);
    }
  }
  if (as_json_text) fmt::print("{}", json_text(all));
  return sound ? kFine : kNotSo;
}

// Collective. Rank 0 chooses, since only it needs to see the directory the same way twice.
std::vector<std::filesystem::path> agreed_files(const mpi::CommView& comm, const Parser& parser) {
  ByteWriter writer;
  mpi::run_on_root(comm, "find", [&] {
    for (const auto& file : selected_files(parser)) writer.put_text(file.string());
  });
  auto bytes = writer.take();
  comm.broadcast(bytes, 0);
  std::vector<std::filesystem::path> files;
  for (ByteReader reader(bytes); !reader.at_end();) files.emplace_back(reader.get_text());
  return files;
}

}  // namespace

int verify(const Arguments& arguments) {
  Parser parser(
      "muster verify PATH [--tag T | --all] [--json]",
      "Reads a checkpoint again and compares every hash: head, tables and every extent. Bytes between tensors\n"
      "must be zero. PATH is a checkpoint file, or a directory, which stands for the tag that a resume tries\n"
      "first. Every damage is named with its tensor, its byte range and its writer.\n"
      "Under mpirun or srun the ranks divide the work. Exit code 1 if anything is damaged.",
      "path");
  parser.add()("tag", boost::program_options::value<std::string>()->value_name("T"), "this tag of the directory")(
      "all", "every checkpoint of the directory");
  if (!parser.parse(arguments)) return kFine;

  const auto verify_here = [&] {
    std::vector<Outcome> outcomes;
    for (const auto& file : selected_files(parser)) outcomes.push_back(verify_alone(file));
    return report(outcomes, parser.json());
  };
  if (!program::was_launched()) return verify_here();
  return program::run_on_ranks(kTimeoutS, [&](const mpi::CommView& comm) -> int {
    if (comm.size() == 1) return verify_here();
    std::vector<Outcome> outcomes;
    for (const auto& file : agreed_files(comm, parser)) outcomes.push_back(verify_together(comm, file));
    if (comm.rank() == 0) return report(outcomes, parser.json());
    return std::ranges::all_of(outcomes, [](const auto& outcome) { return outcome.fault.empty(); }) ? kFine : kNotSo;
  });
}

}  // namespace muster::cli
