#include "bench/options.hpp"
#include "bench/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <sstream>

#include "bench/byte_size.hpp"
#include "bench/workload_json.hpp"
#include "mpi/info.hpp"

namespace muster::bench {

namespace {

namespace po = boost::program_options;

constexpr const char* kSaveHelp = R"(usage: mpirun -n RANKS muster-bench save --dir DIR [options]

Saves the same tensors again and again, each time under a new tag, and compares the time until everything is durable
with the raw limit: the same bytes written by the same ranks in 16 MiB chunks past the page cache into preallocated
files, then fsync. The limit is measured just before and just after each thing, in every round, so that a disk whose
speed changes does not decide the comparison. "OF LIMIT" 1.00 is as fast as the limit, 0.50 takes twice as long.

  mpirun -n 2 muster-bench save --dir /data/tmp
  mpirun -n 2 muster-bench save --dir /data/tmp --workload llm --size 4GiB --engine direct,collective --json llm.json
  mpirun -n 2 muster-bench save --dir /data/tmp --workload small --against limit,torch-save,h5py
  scripts/plot-bench llm.json -o llm.svg
)";

constexpr const char* kSaveExplanation = R"(
Workloads: large (float32 tensors of 16 MiB); llm (the shapes of a LLaMA-like decoder in bfloat16 with its AdamW state)
and llm-float32; small (float32 64x64, 5000 of them where no --size is given); or a JSON file with a list of
{"path": "/model/fc.weight", "dtype": "float32", "shape": [64, 64]}.

--against takes a comma list of
  limit                           the raw limit; without it no ratios are given
  auto, direct, collective        more engines of muster's
  async                           saves in the background, timed until they are published: BLOCKED is the call, CPU the
                                  processor time of a rank, copies included
  async-overlap, async-writing    the same with overlapped staging that copies the state, or writes it as it lies there
  torch-save, torch-save-tensors  torch.save and fsync, a file per rank or per tensor (python3-torch, python3-mpi4py)
  h5py, h5py-independent          one HDF5 file, collective or independent transfers (python3-h5py-mpi)
A peer whose packages are missing is left out, with a line that says so. Each peer keeps a copy of the tensors.

Things take turns at being first in a round. Before each one as much free memory as it saves is touched: a virtual
machine gives free memory back to its host, and the first save through the page cache after a pause would pay for its
return (--cold-memory lets it).

The ways to reach the limit (a file per rank or one shared file; 1 or 4 chunks in flight) are tried in the warm-up and
the fastest is kept; for `small` the shared file is not tried. Files are removed between measurements, and the
directory that the run makes inside DIR when it ends. It needs room for about two times the size.
)";

constexpr const char* kLoadHelp = R"(usage: mpirun -n RANKS muster-bench load --dir DIR [options]

Saves a checkpoint, then loads it again and again from a cold page cache into memory that is there already. The raw
limit, measured just before and just after each load: every rank reads its part of the same cold file in 16 MiB chunks
past the page cache. The bytes loaded first are compared with those saved (exit code 1 where they differ).

  mpirun -n 2 muster-bench load --dir /data/tmp --workload llm --size 2GiB --json load.json
  mpirun -n 2 muster-bench load --dir /data/tmp --held columns --into rows
)";

constexpr const char* kLoadExplanation = R"(
The page cache is dropped through /proc/sys/vm/drop_caches where that is permitted (it drops everybody's), else for the
one file with posix_fadvise; the result says which. Free memory is touched before each
load, see `muster-bench save --help`. --workload as for `muster-bench save`.
)";

// What comes from the command line as text.
struct Raw {
  std::string directory;
  std::string workload = "large";
  std::string size;
  std::vector<std::string> engines;
  std::vector<std::string> against;
  std::string held = "sharded";
  std::string into;
  std::vector<std::string> hints;
  std::string json_file;
  std::string script;
  bool cold_memory = false;
};

template <class T>
auto value(T& target, const char* name) {
  return po::value(&target)->default_value(target)->value_name(name);
}

po::options_description describe(Options& options, Raw& raw, bool saves) {
  constexpr unsigned kLineLength = 118;
  po::options_description all("options", kLineLength);
  all.add_options()                                                                                        //
      ("dir", po::value(&raw.directory)->value_name("DIR"), "where to write (required; made if missing)")  //
      ("workload", value(raw.workload, "W"), "large, llm, llm-float32, small or FILE.json")                //
      ("size", po::value(&raw.size)->value_name("BYTES"), "of all tensors together; 2GiB if not given")    //
      ("held", value(raw.held, "H"),
       "sharded: each tensor by one rank; replicated: all of them by every rank; rows, columns, flat: each cut over "
       "all "
       "ranks along its first dim, its last dim, in ranges of elements")  //
      ("engine", po::value(&raw.engines)->composing()->value_name("E"),
       saves ? "auto, direct or collective; a comma list, or several times; auto if not given"
             : "that saves: auto, direct or collective; auto if not given")  //
      ("hint", po::value(&raw.hints)->composing()->value_name("KEY=VALUE"),
       "for MPI-IO, with the engine collective: striping_factor=8, ...; may be repeated")  //
      ("against", po::value(&raw.against)->composing()->value_name("LIST"),
       saves ? "what to compare with, see below; limit if not given" : "limit; or none, for no comparison")  //
      ("rounds", value(options.rounds.rounds, "N"), "measured rounds")                                       //
      ("warmup", value(options.rounds.warmup, "N"), "rounds before, at least 1")                             //
      ("limit-all", po::bool_switch(&options.rounds.limit_all),
       "measure every kind of the limit each time and take the fastest")                                           //
      ("cold-memory", po::bool_switch(&raw.cold_memory), "do not touch free memory before each thing, see below")  //
      ("seed", value(options.seed, "S"), "of the tensors' bytes")                                                  //
      ("json", po::value(&raw.json_file)->value_name("FILE"), "write everything, with all samples, to FILE");
  if (saves) {
    all.add_options()                                                                                    //
        ("python", po::value(&options.peer.python)->value_name("PROGRAM"), "interpreter for the peers")  //
        ("peers-script", po::value(&raw.script)->value_name("FILE"), "bench-peers.py, where it is not found by itself");
  }
  if (!saves) {
    all.add_options()("into", po::value(&raw.into)->value_name("H"),
                      "load into tensors that are held so, too: what any grid to any grid costs");
  }
  all.add_options()("help,h", "this page");
  return all;
}

std::vector<std::string> split_all(const std::vector<std::string>& lists) {
  std::vector<std::string> items;
  for (const auto& list : lists) {
    std::istringstream stream(list);
    for (std::string item; std::getline(stream, item, ',');) {
      if (!item.empty() && std::find(items.begin(), items.end(), item) == items.end()) items.push_back(item);
    }
  }
  return items;
}

void require_between(const char* option, int value, int least, int most) {
  if (value >= least && value <= most) return;
  throw UsageError(fmt::format("{} is {}, and must be from {} to {}", option, value, least, most));
}

Workload make_workload(const Raw& raw) {
  constexpr std::uint64_t kUsualBytes = std::uint64_t{2} << 30;
  const auto size_bytes = raw.size.empty() ? 0 : parse_bytes(raw.size);
  const auto usual_bytes = size_bytes == 0 ? kUsualBytes : size_bytes;
  if (raw.workload == "large") return make_large(usual_bytes);
  if (raw.workload == "small") return make_small(size_bytes);
  if (raw.workload == "llm") return make_llm(usual_bytes, DType::bfloat16);
  if (raw.workload == "llm-float32") return make_llm(usual_bytes, DType::float32);
  if (!raw.workload.ends_with(".json")) {
    throw UsageError("there is no workload '" + raw.workload +
                     "'; there are large, llm, llm-float32, small, FILE.json");
  }
  if (!raw.size.empty()) throw UsageError("--size has no say in a workload from a file");
  return read_workload(raw.workload);
}

std::string engine_names() {
  std::vector<std::string> names;
  for (const auto& variant : engine_variants()) names.push_back(variant.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

void add_engine(Options& options, const EngineVariant& added) {
  for (const auto& variant : options.engines) {
    if (variant.name == added.name) return;
  }
  options.engines.push_back(added);
}

void take_against(Options& options, const Raw& raw, bool saves) {
  auto against = split_all(raw.against);
  if (against.empty()) against.emplace_back("limit");
  options.with_limit = false;
  const auto& peers = peer_names();
  for (const auto& item : against) {
    if (item == "limit") {
      options.with_limit = true;
    } else if (item == "none") {
      continue;
    } else if (const auto* variant = find_engine_variant(item); saves && variant != nullptr) {
      add_engine(options, *variant);
    } else if (saves && std::find(peers.begin(), peers.end(), item) != peers.end()) {
      options.peers.push_back(item);
    } else {
      throw UsageError(saves ? fmt::format("--against knows no '{}'; it knows limit, none, {}, {}", item,
                                           engine_names(), fmt::join(peers, ", "))
                             : fmt::format("--against knows no '{}' for loads; it knows limit, none", item));
    }
  }
}

std::optional<Options> parse(const Arguments& arguments, bool saves) {
  Options options;
  Raw raw;
  const auto described = describe(options, raw, saves);
  if (!read_options(arguments, described, saves ? kSaveHelp : kLoadHelp, saves ? kSaveExplanation : kLoadExplanation))
    return std::nullopt;
  if (raw.directory.empty()) throw UsageError("--dir is missing: where to write");
  constexpr int kManyRounds = 100000;
  require_between("--rounds", options.rounds.rounds, 1, kManyRounds);
  require_between("--warmup", options.rounds.warmup, 1, kManyRounds);
  for (const auto& engine : split_all(raw.engines)) {
    const auto* variant = find_engine_variant(engine);
    if (variant == nullptr) throw UsageError("there is no engine '" + engine + "'; there are " + engine_names());
    add_engine(options, *variant);
  }
  if (options.engines.empty()) options.engines.push_back(*find_engine_variant("auto"));
  take_against(options, raw, saves);
  if (!saves && options.engines.size() > 1) throw UsageError("one engine saves what is loaded; --engine names several");
  const auto held_as = [](const std::string& option, const std::string& text) {
    try {
      return held(text);
    } catch (const Error& error) {
      throw UsageError(option + ": " + error.what());
    }
  };
  options.held = held_as("--held", raw.held);
  if (!raw.into.empty()) options.into = held_as("--into", raw.into);
  options.directory = raw.directory;
  options.peer.script = raw.script;
  if (!raw.json_file.empty()) options.json_file = raw.json_file;
  options.workload = make_workload(raw);
  try {
    const auto hints = mpi::parse_hints(raw.hints);
    for (auto& engine : options.engines) engine.options.hints = hints;
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  options.rounds.directory = options.directory;
  options.rounds.touched_bytes = raw.cold_memory ? 0 : options.workload.payload_bytes();
  return options;
}

}  // namespace

std::optional<Options> parse_save(const Arguments& arguments) { return parse(arguments, true); }
std::optional<Options> parse_load(const Arguments& arguments) { return parse(arguments, false); }

}  // namespace muster::bench
