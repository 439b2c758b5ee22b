#pragma once
// Who owns a directory: one incarnation of one job at a time. Each takes the next generation, and what an earlier one
// still does comes to nothing: see docs/reference/durability.md for why. Local; one rank of a job (rank 0) has it.

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "store/owner.hpp"
#include "store/slurm_job.hpp"
#include "store/takeover.hpp"

namespace muster::store {

// What Owner a generation's file names; nothing where it is not there or says nothing that makes sense.
std::optional<Owner> read_owner(const std::filesystem::path& directory, std::uint64_t generation);
// The highest generation that was taken; 0: none.
std::uint64_t highest_generation(const std::filesystem::path& directory);

// A process's part in it; several may share one generation (Checkpointers of one process or one launch). Thread-safe.
class Ownership {
 public:
  // Touches nothing. take_over: claim() takes the directory whoever holds it, but for a later start of the same job.
  Ownership(std::filesystem::path directory, Owner me, bool take_over, JobRuns job_runs = slurm_job_runs);
  // Marks the directory as released where no other Ownership of this process holds it.
  ~Ownership();
  Ownership(const Ownership&) = delete;
  Ownership& operator=(const Ownership&) = delete;

  // The generation that is held; 0 where one has to be claimed: none was yet, or the directory was made anew since.
  // Throws Error{superseded}. Two calls of stat(2).
  std::uint64_t held();

  // Takes the directory, which must exist, unless it is held already: makes the next generation's file, durably, and
  // then removes what earlier ones left. The generation. Throws Error{busy} where somebody else may be there still,
  // Error{superseded} where that is a later start of this job, and Error{io}.
  std::uint64_t claim();

  // To be called between making the file (a part, a pointer's, a removal's) whose rename is to change the directory,
  // and that rename; and again where the rename fails. Throws Error{superseded} that says who owns the directory now,
  // and `consequence`; Error{io} where the directory was made anew. Two calls of stat(2).
  void check(std::string_view consequence = "nothing was published");

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] const Owner& owner() const { return me_; }
  // As claimed last; 0: never.
  [[nodiscard]] std::uint64_t generation() const;

 private:
  // Of the file that says that we hold it.
  struct Stamp {
    std::uint64_t inode = 0;
    std::int64_t modified_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  enum class Look : std::uint8_t { held, superseded, made_anew };

  static std::optional<Stamp> stamp_of(const std::filesystem::path& file);
  Look look();
  std::optional<std::uint64_t> claim_once();
  bool make_generation(std::uint64_t generation);
  void join(std::uint64_t generation, Owner owner);
  void hold(std::uint64_t generation, const std::string& token);
  void rewrite(Owner owner);
  void let_go() noexcept;
  [[noreturn]] void throw_superseded(std::string_view consequence) const;

  const std::filesystem::path directory_;
  const Owner me_;
  const bool take_over_;
  const JobRuns job_runs_;
  mutable std::mutex mutex_;
  std::uint64_t generation_ = 0;  // 0: not held
  std::string token_;             // in the file
  std::optional<Stamp> stamp_;    // of the file, as last seen
  std::string users_key_;         // among those of this process that share it
};

// Where something else has failed already: throws Error{superseded} where that may be why, and nothing else.
void throw_if_superseded(Ownership& ownership);

}  // namespace muster::store
