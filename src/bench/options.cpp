#include "bench/options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bench/peer_contender.hpp"

namespace muster::bench {

namespace {

namespace po = boost::program_options;
using program::as_usage;
using program::CommandLine;
using program::value;

constexpr const char* kSaveHelp = R"(usage: mpirun -n RANKS muster-bench save --dir DIR [options]

Saves the same tensors again and again, each time under a new tag, and compares the time until everything is durable
with the raw limit: the same bytes written by the same ranks in 16 MiB chunks past the page cache into preallocated
files, then fsync. The limit is measured just before and just after each thing, in every round, so that a disk whose
speed changes does not decide the comparison. "OF LIMIT" 1.00 is as fast as the limit, 0.50 takes twice as long.

  mpirun -n 2 muster-bench save --dir /data/tmp
  mpirun -n 2 muster-bench save --dir /data/tmp --workload llm --size 4GiB --engine direct,collective --json llm.json
  mpirun -n 2 muster-bench save --dir /data/tmp --workload small --against torch-save,h5py
  scripts/plot-bench llm.json -o llm.svg
)";

constexpr const char* kSaveExplanation = R"(
Workloads: large (float32 tensors of 16 MiB); llm (the shapes of a LLaMA-like decoder in bfloat16 with its AdamW state);
small (float32 64x64; 5000 tensors if --size is not given).

Engines: auto, direct, collective
  async                           saves in the background, timed until they are published: BLOCKED is the call, CPU the
                                  processor time of a rank, copies included
  async-overlap, async-writing    the same with overlapped staging that copies the state, or writes it as it lies there

Peers, for --against:
  torch-save, torch-save-tensors  torch.save and fsync, a file per rank or per tensor (python3-torch, python3-mpi4py)
  h5py                            one HDF5 file, collective transfers (python3-h5py-mpi)
A peer whose packages are missing is left out, with a line that says so. Each peer keeps a copy of the tensors.

Things take turns at being first in a round. Before each one as much free memory as it saves is touched: a virtual
machine gives free memory back to its host, and the first save through the page cache after a pause would pay for its
return.

The ways to reach the limit (a file per rank or one shared file; 1 or 4 chunks in flight) are tried in the warm-up and
the fastest is kept; for `small` the shared file is not tried. Files are removed between measurements, and the
directory that the run makes inside DIR when it ends. It needs room for about two times the size.
)";

constexpr const char* kLoadHelp = R"(usage: mpirun -n RANKS muster-bench load --dir DIR [options]

Saves a checkpoint, then loads it again and again, its pages dropped from the page cache, into memory that is there
already. The raw limit, measured just before and just after each load: every rank reads its part of the same cold file
in 16 MiB chunks past the page cache. The bytes loaded first are compared with those saved (exit code 1 if they
differ).

  mpirun -n 2 muster-bench load --dir /data/tmp --workload llm --size 2GiB --json load.json
  mpirun -n 2 muster-bench load --dir /data/tmp --held columns --into rows
)";

constexpr const char* kLoadExplanation = R"(
--workload as for `muster-bench save`.
)";

// What comes from the command line as text.
struct Raw {
  std::string directory;
  std::string workload = "large";
  std::string size;
  std::string held = "sharded";
};

void add_common(CommandLine& line, Options& options, Raw& raw) {
  line.add()                                                                                               //
      ("dir", po::value(&raw.directory)->value_name("DIR"), "where to write (required; made if missing)")  //
      ("workload", value(raw.workload, "W"), "large, llm or small")                                        //
      ("size", po::value(&raw.size)->value_name("BYTES"),
       "the size of all tensors together, such as 2GiB; 2GiB if not given, for small 5000 tensors")  //
      ("held", value(raw.held, "H"),
       "sharded: each tensor on one rank; replicated: all tensors on every rank; rows, columns: each tensor cut over "
       "all "
       "ranks along its first or its last dimension")                                  //
      ("rounds", value(options.rounds, "N"), "measured rounds, after one to warm up")  //
      ("json", po::value(&options.json_file)->value_name("FILE"), "write everything, with all samples, to FILE");
}

void take_common(Options& options, const Raw& raw, const Arguments& arguments) {
  constexpr std::uint64_t kUsualBytes = std::uint64_t{2} << 30;
  if (raw.directory.empty()) throw UsageError("--dir is missing: where to write");
  program::require_between("--rounds", options.rounds, 1, 100'000);
  options.arguments = arguments;
  options.directory = raw.directory;
  options.held = program::named("--held", raw.held, kHeldNames);
  const auto size_bytes = as_usage("--size", [&] { return raw.size.empty() ? 0 : parse_bytes(raw.size); });
  const auto usual_bytes = size_bytes == 0 ? kUsualBytes : size_bytes;
  const auto make = program::named<Workload (*)(std::uint64_t)>(
      "--workload", raw.workload, {{"large", make_large}, {"llm", make_llm}, {"small", make_small}});
  options.workload = as_usage("--size", [&] { return make(make == make_small ? size_bytes : usual_bytes); });
}

// The things of a comma list, in its order.
template <class Things, class NameOf>
auto things_of(const std::string& option, const std::string& list, const Things& things, const NameOf& name_of) {
  std::vector<std::ranges::range_value_t<Things>> found;
  for (const auto& item : program::split(list)) {
    const auto thing = std::ranges::find(things, item, name_of);
    if (thing == std::ranges::end(things)) {
      std::string names;
      for (const auto& known : things) names.append(names.empty() ? "" : ", ").append(name_of(known));
      throw UsageError(fmt::format("{} knows no '{}'; it knows {}", option, item, names));
    }
    found.push_back(*thing);
  }
  return found;
}

}  // namespace

std::optional<Options> parse_save(const Arguments& arguments) {
  Options options;
  Raw raw;
  std::string engines = "auto";
  std::string peers;
  CommandLine line(kSaveHelp, kSaveExplanation);
  add_common(line, options, raw);
  line.add()                                                                          //
      ("engine", value(engines, "LIST"), "how muster saves, a comma-separated list")  //
      ("against", po::value(&peers)->value_name("LIST"), "peers to compare with, a comma-separated list");
  if (!line.parse(arguments)) return std::nullopt;
  take_common(options, raw, arguments);
  options.engines = things_of("--engine", engines, save_variants(), [](const SaveVariant& each) { return each.name; });
  for (const char* peer : things_of("--against", peers, kPeerNames, [](const char* name) { return name; })) {
    options.peers.emplace_back(peer);
  }
  if (options.engines.empty() && options.peers.empty()) {
    throw UsageError("--engine and --against name nothing that could be measured");
  }
  return options;
}

std::optional<Options> parse_load(const Arguments& arguments) {
  Options options;
  Raw raw;
  std::string into;
  CommandLine line(kLoadHelp, kLoadExplanation);
  add_common(line, options, raw);
  line.add()("into", po::value(&into)->value_name("H"),
             "also load into tensors that are cut in this way; values as for --held");
  if (!line.parse(arguments)) return std::nullopt;
  take_common(options, raw, arguments);
  if (!into.empty()) options.into = program::named("--into", into, kHeldNames);
  return options;
}

}  // namespace muster::bench
