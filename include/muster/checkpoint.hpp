#pragma once
// Collective saves and loads of a State: one HDF5 file per tag in a directory.
//
// A collective call is made by every rank of the communicator, with the same arguments unless stated otherwise. If any
// rank fails, the call throws the same CollectiveError on every rank. The communicator, the directory and the
// Checkpointer stay usable. Only Error{timeout} makes a Checkpointer unusable. Invalid arguments are found before any
// rank touches the disk.
// A local call involves no other rank.
// Thread safety: at most one thread of a process is inside muster at a time, because HDF5 is not thread-safe.
// MPI must be initialised (any thread level) before the first call here and finalised after the last one.

#include <mpi.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <muster/error.hpp>
#include <muster/export.hpp>
#include <muster/grid.hpp>
#include <muster/state.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

// How payload reaches the file. The bytes of the file do not depend on it.
enum class EngineChoice : std::uint8_t {
  automatic,   // depends on file system and number of nodes; the file records choice and reason (`muster show`)
  direct,      // every rank writes its extents in large aligned writes, past the page cache if possible
  collective,  // parallel HDF5 over MPI-IO, for file systems that several nodes must not write to concurrently
};
// Local. Converts "auto", "direct" or "collective". Throws Error{usage} for any other name.
EngineChoice engine_choice(std::string_view name);
// Local. Returns the name that engine_choice() accepts.
std::string_view name(EngineChoice choice);

// Which tags a save keeps after it has published its own.
struct Retention {
  // Number of newest tags to keep, >= 1; older tags are removed. Tags that cannot be read are neither counted nor
  // removed. When the save ends on rank 0, the names are durably gone. On a local file system the space may become free
  // a little later. Unset: all tags are kept. Default: unset.
  std::optional<int> newest = std::nullopt;
  friend bool operator==(const Retention&, const Retention&) = default;
};

// What is fixed for a run. The options are the same on all ranks, except take_over, which counts on rank 0.
struct CheckpointerOptions {
  // Which tags are kept. Default: all.
  Retention retention = {};
  // How payload reaches the file. Default: automatic.
  EngineChoice engine = EngineChoice::automatic;
  // MPI-IO hints for the engine `collective`: {"striping_factor", "8"}, {"cb_nodes", "4"}, ... Default: none.
  std::map<std::string, std::string> hints = {};
  // How the ranks share the model. The file records it, and a load may have another grid. If a rank holds a whole
  // tensor, all ranks that differ from it only in tensor, context and data coordinates must hold it whole. With one
  // pipeline stage and one expert group, these are all ranks. Default: all ranks are data parallel.
  Grid grid = {};
  // Alignment of large tensors in the file, in bytes: a power of two from 512 to 64 MiB. On a striped file system it
  // should be the stripe size. Default: 4096, which suits local disks.
  std::uint64_t alignment_bytes = 4096;
  // How long a rank waits for other ranks between two phases, in seconds, > 0. After that the waiting ranks throw
  // Error{timeout}, and this Checkpointer is unusable. Default: 1800.
  double timeout_s = 1800;
  // Takes over the directory from any owner except a later start of this Slurm job. It is for a person who knows that
  // the owner is gone. MUSTER_TAKE_OVER=1 in the environment of rank 0 does the same. See Checkpointer::own.
  // Default: off.
  bool take_over = false;
};

// What save_async does if max_in_flight saves are in flight.
enum class WhenBusy : std::uint8_t {
  wait,  // waits for the oldest save to end
  fail,  // throws Error{busy} on all ranks
  skip,  // makes no save; report and handle state that
};

// What happens between a save_async with overlap_staging and wait_staged(). wait_staged() copies what is left.
enum class Overlap : std::uint8_t {
  automatic,  // each rank chooses `writing` if the program leaves almost none of this rank's cores idle, the state is
              // in host memory, and this is not its first such save; `copying` otherwise
  copying,    // a thread copies the whole state as fast as possible
  writing,    // write-through: threads write the state from where it lies, at the speed of the storage; takes less work
              // and almost no memory for copies
};

// Options of a background save. They are the same on all ranks, except staging_limit_bytes and overlap.
struct AsyncOptions {
  // Host memory of a rank for copies of the state, in bytes, for all its saves in flight together; at least 32 MiB.
  // Overlap::writing takes 32 MiB more. State that exceeds the limit is copied as buffers are written, and the call
  // takes longer. 0: half of the node's available memory, divided among its ranks, as the first background save finds
  // it. Default: 0.
  std::uint64_t staging_limit_bytes = 0;
  // Returns before the state is copied. Values and memory of the state must not change until SaveHandle::wait_staged()
  // returns on this rank. A training loop calls it before the optimizer step. Functions of TensorMemory then run on
  // threads of muster, in wait_staged(), or in the next save_async. Default: off.
  bool overlap_staging = false;
  // What overlap_staging does meanwhile. Default: automatic.
  Overlap overlap = Overlap::automatic;
  // Maximum number of saves in flight, at least 1. Saves are published in the order of their calls. Default: 1.
  int max_in_flight = 1;
  // What a further save does. Default: wait.
  WhenBusy when_busy = WhenBusy::wait;
  // Rate limit of the writes of all ranks of the job together, in bytes per second. 0: no limit. Default: 0.
  std::uint64_t write_limit_bytes_per_s = 0;
};

struct SaveOptions {
  // File name of the checkpoint without ".h5": 1 to 200 bytes of UTF-8, without '/' and control characters, not
  // starting with '.'.
  std::string tag = {};
  // Training step, as people and tools see it. Unset: the number at the end of the tag ("step_100"), or none.
  // Default: unset.
  std::optional<std::int64_t> step = std::nullopt;
  // Any JSON value of the program. Integers, doubles (also NaN and infinities) and binary values are restored to the
  // last bit. Strings must be UTF-8. The value of rank 0 is saved. Null: none. Default: null.
  nlohmann::json user_content = nullptr;
  // Options of Checkpointer::save_async.
  AsyncOptions async = {};
  // Writers per node, >= 1. At most this many ranks of a node
  // - write at the same time, in synchronous and background saves (engine `direct`),
  // - write a tensor of which several hold replicas.
  // Only saves of this Checkpointer count. If ranks of a node cannot reach each other's processes (separate
  // containers), only the second limit holds, and the report has a warning. Unset: all ranks. Default: unset.
  std::optional<int> num_workers = std::nullopt;
  // Replaces a tag of the same name atomically. Off: the save throws Error{exists} before anything is written. If the
  // save fails after the replacement, the new file stays, and the error says so. Default: off.
  bool replace_existing = false;
  // Why the save is made, for people; for example SavePolicy::why(). The history of the directory records the value of
  // rank 0, and `muster stats` shows it. Default: none.
  std::string reason = {};
};

struct SaveReport {
  std::string tag = {};
  std::filesystem::path file;
  std::uint64_t sequence = 0;       // position in the order of all checkpoints of the directory
  std::uint64_t payload_bytes = 0;  // bytes of tensors in the file, over all ranks, with padding of chunks
  std::uint64_t file_bytes = 0;
  bool published = false;                   // false while a background save is in flight
  bool skipped = false;                     // WhenBusy::skip applied
  double total_s = 0;                       // on this rank, until the save ended
  double blocked_s = 0;                     // on this rank, in the call and in wait_staged()
  std::map<std::string, double> phase_s;    // seconds of each phase on this rank, by its name
  double first_byte_s = 0;                  // on this rank, from the call to the first payload byte given to the system
  bool plan_reused = false;                 // the plan is that of the previous save of this Checkpointer
  std::string engine;                       // "direct" or "collective"
  std::string engine_reason;                // why this engine was chosen
  std::uint64_t direct_bytes = 0;           // bytes that this rank wrote past the page cache
  std::uint64_t write_through_bytes = 0;    // bytes that it wrote from where its state lay; see Overlap::writing
  std::uint64_t collective_transfers = 0;   // engine collective: H5Dwrite calls that HDF5 ran on all ranks together
  std::uint64_t independent_transfers = 0;  // engine collective: H5Dwrite calls of this rank alone
  std::vector<std::string> removed_tags;    // tags that retention removed; on rank 0
  std::vector<std::string> warnings;        // problems that did not fail the save
};

struct CheckpointContents;

// What a load does about a tensor that only the program or only the checkpoint has.
enum class OnDifference : std::uint8_t { error, warn, ignore };

// How often each requested byte is read from storage.
enum class ReadOncePer : std::uint8_t {
  job,   // by one rank, which passes it to the others
  node,  // by one rank of each node that requests it; nothing travels between nodes. All nodes wait for the slowest one
         // in one agreement, so timeout_s must cover the whole read.
};

// Options of a load, the same on all ranks.
struct LoadOptions {
  // The tag to load. Unset: the newest sound checkpoint; newer damaged ones are skipped with a warning.
  // Default: unset.
  std::optional<std::string> tag = std::nullopt;
  // On: if any tensor is missing, unexpected, or has another shape or dtype, the load throws Error{mismatch} that
  // lists the first 20, and nothing changes. Off: what fits is loaded and the rest stays as it is; LoadReport::skipped
  // lists the rest, and a warning lists the first 20. Default: on.
  bool strict = true;
  // What happens with tensors that the checkpoint lacks. Unset: as `strict` states (error or warn). Default: unset.
  std::optional<OnDifference> missing = std::nullopt;
  // The same for tensors of the checkpoint that no rank requests.
  std::optional<OnDifference> unexpected = std::nullopt;
  // fnmatch(3) patterns of paths ("/model/*", "/model/blocks.0.*"). Only tensors that match a pattern are loaded.
  // Others stay as they are, and are neither missing nor unexpected. A pattern without match is missing. Empty: all
  // tensors. Default: empty.
  std::vector<std::string> only = {};
  // Maps keys of the checkpoint to keys of the program. A key is the second part of a path: "/model/<key>",
  // "/optimizer/<key>/exp_avg". Other sections keep their keys. If both keys end in '*', it stands for the rest:
  // {"backbone.*", "encoder.*"}. `only` and the target use the program's names. Default: empty.
  std::map<std::string, std::string> renames = {};
  // Converts between floating-point dtypes, also float8. Wider values are exact. Narrower ones are rounded to nearest,
  // from float64 by way of float32, as in LibTorch. Values that are too large become the largest number in
  // float8_e4m3fn and NaN in the fnuz kinds. Off: another dtype is a mismatch, except for LoadTarget::made_from.
  // Default: off.
  bool convert_dtypes = false;
  // How often each byte is read. `node` suits storage close to the nodes (a cache, local disks) that is faster than the
  // network between them. Default: job.
  ReadOncePer read_once_per = ReadOncePer::job;
  // Every rank reads what it requests, and nothing travels over MPI. Bytes that several ranks request are read several
  // times. It excludes ReadOncePer::node. Default: off.
  bool each_rank_reads = false;
  // Maximum number of ranks of a node that read at the same time, >= 1. It excludes each_rank_reads. Unset: all ranks.
  // Default: unset.
  std::optional<int> num_workers = std::nullopt;
  // The grid of the ranks for this load. Unset: CheckpointerOptions::grid. Default: unset.
  std::optional<Grid> grid = std::nullopt;
  // A local function that is called on every rank with the contents of the checkpoint, including its user content,
  // before anything is compared or loaded. An exception that it throws ends the load on all ranks. If no tag is given
  // and it throws Error{corrupt}, the load skips the checkpoint with a warning and tries the next older one, if there
  // is one. Default: unset.
  std::function<void(const CheckpointContents&)> check = {};
};

// The contents of a checkpoint, as the function that prepares the target of a load gets them.
struct CheckpointContents {
  std::string tag = {};
  std::optional<std::int64_t> step = std::nullopt;
  std::uint64_t sequence = 0;
  int world_size = 0;                               // number of ranks that saved it
  std::vector<TensorDescription> tensors;           // in file order
  std::map<std::string, nlohmann::json> documents;  // by path, with "/user_content" if it was saved

  // Local. Both return null if the path does not exist.
  [[nodiscard]] const TensorDescription* find_tensor(const std::string& path) const;
  [[nodiscard]] const nlohmann::json* find_document(const std::string& path) const;
};

// Where a load stores what it reads. Keys are compared only inside `sections`.
struct LoadTarget {
  // Tensors to fill. Each needs `data` or `write`.
  State state = {};
  // By path: the tensor of the checkpoint from which a tensor of `state` is made. If its dtype differs, it is
  // converted.
  std::map<std::string, std::string> made_from = {};
  // Groups without the leading slash ("model", "optimizers/critic"). With `strict`, some rank must request every tensor
  // that the checkpoint has there.
  std::vector<std::string> sections = {};
  // Further reasons why this checkpoint does not fit. The comparison of keys lists them with its own.
  std::vector<std::string> problems = {};
  // Further lines about tensors that the checkpoint lacks.
  std::vector<std::string> missing = {};
  // Further lines about tensors that only the checkpoint has.
  std::vector<std::string> unexpected = {};
  // The paths of tensors that the load makes because the program has none, or one of another shape.
  std::vector<std::string> made = {};
  // Runs on every rank when all tensors are filled on all ranks. It must not fail for reasons of this rank alone.
  std::function<void()> commit = {};
};

// This rank and its job, for a StateSource that describes what is to be saved.
struct DescribeContext {
  int rank = 0;
  int ranks = 1;
  Grid grid = {};
  bool overlap_staging = false;  // the program goes on before the state is copied
};

// The same for a load.
struct PrepareContext {
  int rank = 0;
  int ranks = 1;
  Grid grid = {};
  const LoadOptions& options;
};

// What is saved and loaded together, as an adapter of a framework describes it: muster::TrainingState for LibTorch.
// Both functions are local and run on every rank. If one throws, the save or load fails on all ranks.
class StateSource {
 public:
  StateSource() = default;
  virtual ~StateSource() = default;
  // Runs once in each save, in the phase "agree".
  [[nodiscard]] virtual State describe(const DescribeContext& context) const = 0;
  // Runs for each candidate of a load, and changes nothing of the program. LoadTarget::commit does.
  [[nodiscard]] virtual LoadTarget prepare(const CheckpointContents& contents, const PrepareContext& context) const = 0;

 protected:
  StateSource(const StateSource&) = default;
  StateSource(StateSource&&) = default;
  StateSource& operator=(const StateSource&) = default;
  StateSource& operator=(StateSource&&) = default;
};

struct LoadReport {
  CheckpointContents contents;
  std::optional<nlohmann::json> user_content = std::nullopt;  // unset if the checkpoint has none
  std::vector<std::string> skipped;                           // on this rank, one line for each tensor not loaded
  std::vector<std::string> made;                              // on this rank, the paths of LoadTarget::made
  std::vector<std::string> warnings;           // damaged tags that were skipped, wrong pointers; same on all ranks
  std::uint64_t read_bytes = 0;                // bytes that this rank read from storage, with padding and gaps
  std::uint64_t buffer_bytes = 0;              // memory into which this rank read and received; see load
  std::map<std::string, double> phase_s = {};  // seconds of each phase on this rank, by its name
  double total_s = 0;
};

// A copyable reference to a save in the background, empty if the save was skipped. Any thread that may be inside muster
// may call it.
class SaveHandle {
 public:
  SaveHandle() = default;
  // Local.
  [[nodiscard]] bool skipped() const { return !impl_; }
  // Local. Copies what is left of this rank's state, of this save and of those before it. On return the state may
  // change. Without overlap_staging it returns at once. If the staging limit is too small for the copy, it waits for
  // writes, and thus for earlier saves to end on all ranks.
  void wait_staged();
  // Local. Returns whether the save has ended on this rank. Advances saves as Checkpointer::poll() does.
  [[nodiscard]] bool done();
  // Waits for other ranks: all ranks call it. Returns when the tag is published: file, name and `latest` are on stable
  // storage. If the save failed, throws the same CollectiveError on all ranks, and nothing is published. Throws
  // Error{timeout} if a rank did not come or the write of this rank makes no progress; it is unknown then whether the
  // tag is published. For a skipped save the report states that.
  SaveReport wait();
  // Local. Returns what is known of the save so far.
  [[nodiscard]] SaveReport report() const;

 private:
  friend class Checkpointer;
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// Saves to and loads from one directory. It keeps plan and head of the last save, so that the next save of the same
// state starts with the payload. Move-only.
class Checkpointer {
 public:
  // Collective over comm, which it duplicates and leaves unchanged. The directory need not exist. Errors: usage,
  // mismatch.
  Checkpointer(MPI_Comm comm, std::filesystem::path directory, CheckpointerOptions options = {});
  // Collective as MPI defines it: frees the private communicator. After MPI_Finalize it does nothing with MPI. Waits
  // for saves in flight, and logs failures. MPI_Finalize and exit() wait for them too. The last Checkpointer of a
  // process on a directory releases the directory for the next job.
  ~Checkpointer();
  Checkpointer(Checkpointer&&) noexcept;
  Checkpointer& operator=(Checkpointer&&) noexcept;
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Collective. Makes this job the owner of the directory, as the first save does otherwise. Does nothing if it is the
  // owner. A training job calls it before it loads, so that ranks of an earlier start that still run cannot publish.
  // A job that only loads never calls it. One job owns a directory at a time: an earlier owner that tries to publish,
  // to move a pointer or to remove a tag there fails with Error{superseded}. Checkpointers of one process or one launch
  // share the directory. The job takes over from an owner
  // - whose Checkpointers were destroyed,
  // - whose process ended, or whose host was rebooted,
  // - whose Slurm job is over,
  // - that was an earlier start of this Slurm job (SLURM_RESTART_COUNT), or an earlier step of it on another node.
  // Errors: busy (the owner may still exist; the message names it and since when it owns the directory; see
  // CheckpointerOptions::take_over), superseded (the owner is a later start of this job), io.
  void own();

  // Collective. This and every other collective call except save_async first waits for saves in flight. Saves the
  // state under options.tag; with options.async_save in the background (see save_async). On return on any rank, the
  // file, its name and the `latest` pointer are on stable storage. After an exception nothing is published (see
  // replace_existing), the part file is gone, and all earlier tags are unchanged. Errors:
  // - usage: bad tag, duplicate key, no memory for a tensor.
  // - mismatch: ranks differ in tag, keys, dtypes or shapes; the message names all of them.
  // - exists.
  // - busy: another Checkpointer is writing this tag, or another job owns the directory (see own()).
  // - superseded: another job, or a later start of this one, took over the directory. A tag that was published
  //   before that stays.
  // - io, timeout.
  SaveReport save(const State& state, const SaveOptions& options);
  // The same for a state that is expensive to describe. `describe` is local and runs once on every rank, in the phase
  // "agree". If it throws, the save fails on all ranks.
  using Describe = std::function<State()>;
  SaveReport save(const Describe& describe, const SaveOptions& options);
  SaveReport save(const StateSource& source, const SaveOptions& options);

  // Collective. Copies the state to host memory and returns. The state may change then; with overlap_staging, after
  // wait_staged(). Nothing is durable on return. Threads of muster write the copy (engine `direct`), agree with the
  // other ranks, publish the tag, move the pointer and remove old tags. With MPI_THREAD_MULTIPLE this needs no further
  // call. With a lower thread level the commit advances in poll() and in all other calls of this Checkpointer.
  // If the engine `auto` has to be `collective`, this call makes the whole save, with a warning.
  // Errors: those of save() up to the phase "open", busy, and usage if the engine `collective` is requested. If any
  // rank fails later, the next collective call of this Checkpointer or the handle's wait() throws the same
  // CollectiveError on all ranks. Then the part file is removed, nothing is published, and the next save works.
  SaveHandle save_async(const State& state, const SaveOptions& options);
  SaveHandle save_async(const Describe& describe, const SaveOptions& options);
  SaveHandle save_async(const StateSource& source, const SaveOptions& options);

  // Local. Advances saves in flight without waiting for other ranks. Below MPI_THREAD_MULTIPLE every rank has to call
  // it now and then, and the call that ends a save publishes it on rank 0 (a few milliseconds of disk). Returns whether
  // saves are in flight. It does not throw the failure of a save; the next collective call does.
  bool poll();

  // Collective. Finds the checkpoint, passes its contents to `prepare` on every rank (local, again for each candidate),
  // checks the target on all ranks and fills it. By default each payload byte is read from storage once in the
  // whole job. Its reader checks its hash. Ranks of the reader's node read its buffers, and other ranks get messages.
  // Memory of a rank:
  // - At most four read-ahead buffers of 16 MiB and 64 KiB (three if no buffers are shared).
  // - If there are messages, one buffer of at most 16 MiB.
  // - 256 KiB to convert dtypes.
  // Errors: usage, not_found, mismatch (the target is unchanged), corrupt (of an explicit tag; the target is partly
  // filled), io, timeout.
  using Prepare = std::function<LoadTarget(const CheckpointContents&)>;
  LoadReport load(const LoadOptions& options, const Prepare& prepare);
  // The same with a target that does not depend on the contents.
  LoadReport load(const LoadOptions& options, const LoadTarget& target);
  LoadReport load(const StateSource& source, const LoadOptions& options = {});

  // Collective. Returns the tag that a load without a tag tries first: the newest one with sound head and tables.
  // Errors: io, timeout.
  std::optional<std::string> latest_tag();

  // Collective. Waits until all saves in flight have ended. Throws the first failure that no call has thrown yet; the
  // next call throws the next one. It may be called repeatedly.
  void finalize();

  [[nodiscard]] const std::filesystem::path& directory() const;  // local
  [[nodiscard]] const CheckpointerOptions& options() const;      // local; the grid has its data degree

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Collective. Returns the Checkpointer that the free functions use for (comm, directory). It is made on first use and
// kept as an attribute of the communicator. finalize_checkpoint, freeing the communicator or MPI_Finalize releases it.
// options: what is fixed for the run. Unset: those of earlier calls, or the defaults. The first call with options sets
// them, also if calls without options were made before. Later calls with other options are CollectiveError{usage} that
// names the option and both values. Further errors: mismatch.
Checkpointer& shared_checkpointer(MPI_Comm comm, const std::filesystem::path& directory,
                                  const std::optional<CheckpointerOptions>& options = std::nullopt);

// Collective. Saves a State without LibTorch; see Checkpointer::save. run_options: see shared_checkpointer.
SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const State& state,
                           const SaveOptions& options, const CheckpointerOptions& run_options = {});
// Collective. Loads into a State without LibTorch; see Checkpointer::load.
LoadReport load_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const LoadTarget& target,
                           const LoadOptions& options = {});
// Collective. Returns whether a load without a tag finds a checkpoint to try. False if the directory does not exist.
bool has_checkpoint(MPI_Comm comm, const std::filesystem::path& directory);
// Collective. Completes every save in flight on this communicator and releases its Checkpointers. Then throws the first
// failure that no call has thrown yet, and logs further ones.
void finalize_checkpoint(MPI_Comm comm);

}  // namespace muster
