#pragma once
// Saving and loading a State collectively: one HDF5 file per tag in a directory.
//
// "Collective" means: every rank of the communicator calls it, with the same arguments where not said otherwise.
// A collective call throws the same CollectiveError on every rank, whichever rank failed; the communicator, the
// directory and the Checkpointer stay usable. Arguments that are wrong are found before any rank touches the disk.
// Thread safety: one thread at a time may be inside muster, over all objects of a process (HDF5 is not thread-safe).
// MPI must be initialised (any thread level) before and finalised after every call here.

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

struct CheckpointerOptions {
  // File offsets of large tensors are multiples of this many bytes; a power of two from 512 to 64 MiB. 4096 suits
  // local disks; name the stripe size on a striped file system.
  std::uint64_t alignment_bytes = 4096;
  // How long any rank waits for the others between two phases, in seconds, > 0. On expiry the waiting ranks throw
  // Error{timeout}; the communicator of this Checkpointer is of no use after that.
  double timeout_s = 1800;
  // Take the directory whoever holds it; see Checkpointer::own. For a person who knows that the owner is gone; the
  // environment variable MUSTER_TAKE_OVER=1 (of rank 0) does the same. A later start of the same Slurm job keeps it.
  bool take_over = false;
};

// How payload bytes reach the file; the bytes of the file are the same.
enum class EngineChoice : std::uint8_t {
  automatic,   // by file system and number of nodes; the file records which and why, and `muster show` prints it
  direct,      // every rank writes its extents with large aligned writes, past the page cache where it can
  collective,  // parallel HDF5 over MPI-IO, for file systems on which ranks of several nodes may not write side by side
};
// "auto", "direct", "collective"; throws Error{usage} for any other name.
EngineChoice engine_choice(std::string_view name);
std::string_view name(EngineChoice choice);

// What save_async does where as many saves are in flight as may be.
enum class WhenBusy : std::uint8_t {
  wait,  // for the oldest to end
  fail,  // Error{busy} on all ranks
  skip,  // no save; the report and the handle say so
};

// What goes on beside the program from a save_async with overlap_staging to wait_staged(), which copies what is left.
enum class Overlap : std::uint8_t {
  automatic,  // writing, where the program leaves next to none of this rank's cores idle, its state is in host memory,
              // and this is not its first such save; else copying. Each rank for itself.
  copying,    // all of the state is copied, as fast as it goes
  writing,    // the state is written as it lies there, part by part at the pace of the storage. Less work, and next to
              // no memory for copies, but what the storage has not taken by then is copied in wait_staged().
};

// How a save goes on in the background; the same on all ranks.
struct AsyncOptions {
  // Host memory of a rank for copies of the state, of all its saves in flight together; at least 32 MiB. Beside it
  // 32 MiB for Overlap::writing. State that does not fit is copied as buffers are written, and the call takes as long.
  // 0: half of the node's available memory, shared by its ranks, as found by the first background save.
  std::uint64_t staging_limit_bytes = 0;
  // Return before the state is copied: it must not change or move, in its values or its memory, until
  // SaveHandle::wait_staged() returns on this rank. For a training loop: until just before the optimizer step.
  // Functions of TensorMemory then run on threads of muster's, in wait_staged(), or in the next save_async.
  bool overlap_staging = false;
  Overlap overlap = Overlap::automatic;
  // Saves in flight at once, at least 1. They publish in the order of their calls.
  int max_in_flight = 1;
  WhenBusy when_busy = WhenBusy::wait;
  // At most so many bytes a second to storage, all ranks of the job together; 0: as fast as it goes.
  std::uint64_t write_limit_bytes_per_s = 0;
};

struct SaveOptions {
  // File name of the checkpoint without ".h5": 1 to 200 bytes, no '/', no control character, not starting with '.'.
  std::string tag = {};
  // Training step for people and tools to see. Unset: the number that ends the tag ("step_100"), else none.
  std::optional<std::int64_t> step = std::nullopt;
  // Any JSON value of the program's; null means none. Integers, doubles (NaN and infinities too) and binary values
  // come back exact to the last bit. Strings must be UTF-8. Rank 0's value is the one saved.
  nlohmann::json user_content = nullptr;
  // Keep this many newest tags (>= 1) and delete older ones once this one is published; unset keeps all.
  // A tag that cannot be read is neither counted nor deleted. The names of deleted ones are gone, durably, with the end
  // of the save; on a local file system their space may come back a little later.
  std::optional<int> num_kept_ckpts = std::nullopt;
  // Return as soon as the state is copied, and write and publish in the background; see Checkpointer::save_async.
  // The ranks do not compare it: where it differs between them the call ends by its deadline.
  bool async_save = false;
  AsyncOptions async = {};
  // Tensor by tensor, never a second copy of the state: muster always works so, and takes the flag for what it is.
  bool use_xser = true;
  // At most so many ranks of a node (>= 1) write at the same time; unset: all of them. Of replicas so many write at
  // all; ranks that alone hold something take turns (engine `direct`). In the background nobody takes turns: it only
  // says who writes replicas, and write_limit_bytes_per_s spares the storage.
  std::optional<int> num_workers = std::nullopt;
  // Replace a tag of the same name, atomically. Off: that is Error{exists} before anything is written.
  bool replace_existing = false;
  EngineChoice engine = EngineChoice::automatic;
  // Hints for MPI-IO, for the engine `collective` alone: {"striping_factor", "8"}, {"cb_nodes", "4"}, ...
  std::map<std::string, std::string> hints = {};
  // Why it is saved now, for people: SavePolicy::why(), for instance. In the directory's history, where `muster stats`
  // shows it; rank 0's.
  std::string reason = {};
  // How the ranks share the model; recorded in the file. A tensor that a rank holds whole must be held whole by all
  // that differ from it in their tensor, context and data coordinates alone: by every rank where there is but one
  // pipeline stage and one expert group. A load need not have the grid of the save.
  Grid grid = {};
};

struct SaveReport {
  std::string tag = {};
  std::filesystem::path file;
  std::uint64_t sequence = 0;       // position in the order of all checkpoints of the directory
  std::uint64_t payload_bytes = 0;  // of tensors in the file, over all ranks; padding of chunks included
  std::uint64_t file_bytes = 0;
  bool published = false;                   // false while a background save is in flight
  bool skipped = false;                     // WhenBusy::skip, and others were in flight
  double total_s = 0;                       // on this rank, to the end of the save
  double blocked_s = 0;                     // on this rank, in the call and in wait_staged()
  std::map<std::string, double> phase_s;    // seconds of each phase on this rank, by its name
  double first_byte_s = 0;                  // on this rank, from the call to the first payload byte given to the system
  bool plan_reused = false;                 // same plan as this Checkpointer's previous save
  std::string engine;                       // "direct" or "collective"
  std::string engine_reason;                // and why
  std::uint64_t direct_bytes = 0;           // that this rank wrote past the page cache
  std::uint64_t write_through_bytes = 0;    // that it wrote from where its state lay: see Overlap::writing
  std::uint64_t collective_transfers = 0;   // engine collective: H5Dwrite calls that HDF5 ran on all ranks together
  std::uint64_t independent_transfers = 0;  // and those that this rank made alone
  std::vector<std::string> removed_tags;    // by retention; on rank 0
  std::vector<std::string> warnings;        // what went wrong after publication (on rank 0)
};

// What a load does about a tensor that only the program has, or only the checkpoint.
enum class OnDifference : std::uint8_t { error, warn, ignore };

// By how many each byte that is wanted is read from storage.
enum class ReadOncePer : std::uint8_t {
  job,   // by one rank; it travels to the others
  node,  // by one rank of each node that wants it; nothing travels between nodes. A node that is done waits for the
         // slowest one in one agreement, so the deadline covers all of the read.
};

// The same on all ranks.
struct LoadOptions {
  // The tag to load. Unset: the newest sound checkpoint of the directory; a newer one that turns out to be damaged
  // is skipped with a warning.
  std::optional<std::string> tag = std::nullopt;
  // On: a missing, unexpected, differently shaped or differently typed tensor is an error that lists them (the first
  // 20), and nothing was changed. Off: what fits is loaded, the rest stays as it is; LoadReport::skipped lists it, and
  // a warning the first 20.
  bool strict = true;
  // Of tensors that the checkpoint lacks, and of those that it has and no rank wants. Unset: as `strict` says.
  std::optional<OnDifference> missing = std::nullopt;
  std::optional<OnDifference> unexpected = std::nullopt;
  // Load only tensors of which one of these matches the path, as fnmatch(3) does ("/model/*", "/model/blocks.0.*").
  // Others stay as they are, and are neither missing nor unexpected; a pattern that matches nothing is missing. Empty:
  // all.
  std::vector<std::string> only = {};
  // What keys of the checkpoint are called in the program: the second part of a path, as in "/model/<key>" and
  // "/optimizer/<key>/exp_avg"; other sections keep theirs. Where both end in '*', that stands for the rest:
  // {"backbone.*", "encoder.*"}. `only` and the target have the program's names.
  std::map<std::string, std::string> renames = {};
  // Load floating-point tensors into others of their kind, float8 too: exact where wider, else rounded to nearest, from
  // float64 by way of float32, as LibTorch does; what is too large for float8_e4m3fn becomes its largest number, for a
  // fnuz kind NaN. Off: another dtype is a mismatch, but for what LoadTarget::made_from names.
  bool convert_dtypes = false;
  // `node` where storage close to the nodes (a cache, local disks) is faster than the network between them.
  ReadOncePer read_once_per = ReadOncePer::job;
  // Every rank reads what it wants by itself and nothing travels over MPI; what several ranks want is read as often.
  // Not with read_once_per.
  bool each_rank_reads = false;
  // At most so many ranks of a node (>= 1) read at the same time; unset: all of them. Not with each_rank_reads.
  std::optional<int> num_workers = std::nullopt;
};

// One tensor as it was saved.
struct SavedTensor {
  std::string path;
  DType dtype = DType::float32;
  Shape shape;
};

// What a checkpoint holds, as shown to the function that prepares the target of a load.
struct CheckpointContents {
  std::string tag = {};
  std::optional<std::int64_t> step = std::nullopt;
  std::uint64_t sequence = 0;
  int world_size = 0;                               // ranks that saved it
  std::vector<SavedTensor> tensors;                 // in file order
  std::map<std::string, nlohmann::json> documents;  // by path; "/user_content" among them where there is one

  [[nodiscard]] const SavedTensor* find_tensor(const std::string& path) const;  // null where there is none
  [[nodiscard]] const nlohmann::json* find_document(const std::string& path) const;
};

// Where a load puts what it reads. Keys are compared inside `sections` only.
struct LoadTarget {
  // Tensors to fill; each needs `data` or `write`.
  State state;
  // Tensors of `state` that are made from another one of the checkpoint, by path: converted where its dtype differs.
  std::map<std::string, std::string> made_from;
  // First path components that the program wants whole ("model", "optimizer"): with strict on, everything that the
  // checkpoint holds there must be wanted by some rank.
  std::vector<std::string> sections;
  // More that is wrong with this checkpoint as a source, that it lacks, or has and the program does not want; listed
  // together with what the comparison of keys finds.
  std::vector<std::string> problems;
  std::vector<std::string> missing;
  std::vector<std::string> unexpected;
  // Called on every rank once all tensors are filled everywhere; must not fail for reasons of this rank alone.
  std::function<void()> commit;
};

struct LoadReport {
  CheckpointContents contents;
  std::optional<nlohmann::json> user_content = std::nullopt;  // none where the checkpoint has none
  std::vector<std::string> skipped;                           // on this rank: one line for each tensor not loaded
  std::vector<std::string> warnings;           // damaged tags passed over, pointers that were wrong; same on all ranks
  std::uint64_t read_bytes = 0;                // that this rank read from storage; padding and gaps included
  std::uint64_t buffer_bytes = 0;              // of memory that this rank read and received into: see load
  std::map<std::string, double> phase_s = {};  // seconds of each phase on this rank, by its name
  double total_s = 0;
};

// A save that began in the background; a copyable reference to it. Its calls may be made by any thread that may be
// inside muster. Empty where the save was skipped.
class SaveHandle {
 public:
  SaveHandle() = default;
  [[nodiscard]] bool skipped() const { return !impl_; }
  // Local. Returns when this rank's state, and that of its saves before this one, may change: copies what is left of
  // it. At once without overlap_staging. Where the staging limit does not hold all of that it waits for writes, and so
  // for saves before this one to end on all ranks.
  void wait_staged();
  // Local. Whether this rank knows how the save ended; progresses it like Checkpointer::poll().
  [[nodiscard]] bool done();
  // Returns when the tag is published: file, name and `latest` are on stable storage. Throws what it failed with, the
  // same CollectiveError on all ranks; then nothing was published. Waits for other ranks: call it on all of them.
  // Error{timeout} where a rank did not come, or its write stands still: what became of the tag is not known then.
  // Of a skipped save: returns a report that says so.
  SaveReport wait();
  // Local. What is known of it so far.
  [[nodiscard]] SaveReport report() const;

 private:
  friend class Checkpointer;
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// Saves to and loads from one directory. Keeps the plan and the head of the last save, so that the next save of the
// same state goes straight to the payload. Move-only.
class Checkpointer {
 public:
  // Collective over comm (it is duplicated; the caller's own stays untouched). The directory need not exist.
  Checkpointer(MPI_Comm comm, std::filesystem::path directory, CheckpointerOptions options = {});
  // Collective in MPI's sense (frees the private communicator); does nothing with MPI after MPI_Finalize. Saves in
  // flight are waited for, and one that fails is told on the log; MPI_Finalize and exit() wait for them too. The last
  // one of a process on a directory marks it as released: the next job may have it.
  ~Checkpointer();
  Checkpointer(Checkpointer&&) noexcept;
  Checkpointer& operator=(Checkpointer&&) noexcept;
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Collective. Takes the directory for this job, as the first save would otherwise do; nothing happens where it is
  // taken already. A training job calls it before it loads, so that no rank of its last start that lives on somewhere
  // can publish behind its back; a job that only loads never does. A directory belongs to one job at a time: whatever
  // an earlier owner still tries to publish, to point to or to delete fails there with Error{superseded}. An owner
  // that is gone gives way: its Checkpointers were destroyed, its process ended (or its host was started anew), its
  // Slurm job is over, or it was an earlier start of this Slurm job (SLURM_RESTART_COUNT) or an earlier step of it on
  // another node. Checkpointers of one process or one launch share the directory. Errors: busy where the owner may be
  // there still (the message says who it is and since when; see CheckpointerOptions::take_over), superseded where it is
  // a later start of this job, io.
  void own();

  // Collective, as all that follows first waits for saves in flight. Saves the state under options.tag (in the
  // background where options.async_save: see save_async). On return on any rank, the file, its name and the `latest`
  // pointer are on stable storage. On an exception nothing was published, the part file is gone and all earlier tags
  // are as they were. Errors: usage (bad tag, key twice, no memory behind a tensor), mismatch (ranks differ in tag,
  // keys, dtypes, shapes; all of them named), exists, busy (another Checkpointer is writing this tag, or another job
  // holds the directory: see own()), superseded (another job, or a later start of this one, has taken the directory
  // over; a tag that was in place before that stays), io, timeout.
  SaveReport save(const State& state, const SaveOptions& options);
  // The same for a state that takes work to describe: `describe` is local, runs on every rank inside phase "agree"
  // (once; twice where save_async turns into a save at once), and what it throws fails the save on all of them.
  using Describe = std::function<State()>;
  SaveReport save(const Describe& describe, const SaveOptions& options);

  // Collective. Copies the state to memory of muster's and returns; threads of muster's write it (engine `direct`),
  // agree with the other ranks, publish the tag, move the pointer and retire old tags, whatever the program does
  // meanwhile: with MPI_THREAD_MULTIPLE without any further call, with a lower thread level inside poll() and all other
  // calls of this Checkpointer. The state may change as soon as this returns; with overlap_staging, when wait_staged()
  // returns. Errors of this call are those of save(), up to phase "open"; plus busy, and usage where the engine
  // `collective` is asked for. Where the engine `auto` has to be `collective`, the save is made by this call, with a
  // warning. What fails later, on any rank, is thrown as the same CollectiveError on all ranks by the next call of this
  // Checkpointer, or by the handle's wait(); the tag is cleaned up, nothing is published, the next save works.
  SaveHandle save_async(const State& state, const SaveOptions& options);
  SaveHandle save_async(const Describe& describe, const SaveOptions& options);

  // Local; waits for no other rank. Goes on with saves in flight; needed now and then below MPI_THREAD_MULTIPLE, where
  // every rank has to call it, and where the call that ends a save publishes it on rank 0 (a few milliseconds of disk).
  // True while any are in flight. Does not throw what a save failed with: the next collective call
  // does.
  bool poll();

  // Collective. Finds the checkpoint, shows it to `prepare` on every rank (local; for each candidate again), checks
  // the target on all ranks, then fills it. Each payload byte is read from storage once in the whole job, its hash is
  // checked, and it goes to the ranks that want it: those of the node look where it was read, others get messages. A
  // rank reads ahead into at most four buffers of 16 MiB and 64 KiB (three where nothing is looked at), and has one of
  // at most 16 MiB for messages, where any come. Converting dtypes takes 256 KiB more. Errors: usage, not_found,
  // mismatch (target untouched), corrupt (an explicit tag: target partly filled), io, timeout.
  using Prepare = std::function<LoadTarget(const CheckpointContents&)>;
  LoadReport load(const LoadOptions& options, const Prepare& prepare);
  // The same with a target that does not depend on what is found.
  LoadReport load(const LoadOptions& options, const LoadTarget& target);

  // Collective. The tag that a load without a tag would try first: the newest whose head and tables are sound.
  std::optional<std::string> latest_tag();

  // Collective. Waits until all saves in flight have ended; throws the first failure that no call has thrown yet, and
  // the next call the next one. Idempotent.
  void finalize();

  [[nodiscard]] const std::filesystem::path& directory() const;  // local

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The Checkpointer that the free functions use for (comm, directory): made on first use, kept as an attribute of the
// communicator, released by finalize_checkpoint, when the communicator is freed, or in MPI_Finalize. Collective.
Checkpointer& shared_checkpointer(MPI_Comm comm, const std::filesystem::path& directory);

// Collective. Saves a State without Torch; see Checkpointer::save.
SaveReport save_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const State& state,
                           const SaveOptions& options);
// The same in the background, whatever options.async_save says; see Checkpointer::save_async.
SaveHandle save_checkpoint_async(MPI_Comm comm, const std::filesystem::path& directory, const State& state,
                                 const SaveOptions& options);
// Collective. Loads into a State without Torch; see Checkpointer::load.
LoadReport load_checkpoint(MPI_Comm comm, const std::filesystem::path& directory, const LoadTarget& target,
                           const LoadOptions& options = {});
// Collective. Whether a load without a tag would find something to try. False where the directory does not exist.
bool has_checkpoint(MPI_Comm comm, const std::filesystem::path& directory);
// Collective. Completes every save in flight on this communicator and releases its Checkpointers, then throws the first
// failure that no call has thrown yet; further ones are told on the log.
void finalize_checkpoint(MPI_Comm comm);

}  // namespace muster
