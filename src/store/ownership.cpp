#include "store/ownership.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <map>
#include <muster/error.hpp>
#include <thread>
#include <vector>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "base/log.hpp"
#include "base/posix.hpp"
#include "store/directory.hpp"
#include "store/names.hpp"
#include "store/removal.hpp"
#include "store/space_release.hpp"

namespace muster::store {

namespace {

// So many files of generations stay. One that claims on the strength of an old look could only be mistaken if as many
// were taken while it lists the directory once.
constexpr std::uint64_t kKept = 8;

// How many Ownerships of this process hold a generation together: the last one releases it.
class Users {
 public:
  void add(const std::string& key) {
    const std::lock_guard lock(mutex_);
    ++count_[key];
  }
  // Whether it was the last one.
  bool remove(const std::string& key) {
    const std::lock_guard lock(mutex_);
    if (--count_[key] > 0) return false;
    count_.erase(key);
    return true;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> count_;
};

Users& users() {
  static auto* all = new Users;  // never destroyed: Checkpointers may go after main()
  return *all;
}

// Complete and durable before it gets a name that counts.
void write_durably(const std::filesystem::path& file, const Owner& owner, std::uint64_t generation) {
  auto json = to_json(owner);
  json["generation"] = generation;
  const auto text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  posix::File temporary(file, O_WRONLY | O_CREAT | O_TRUNC);
  temporary.write_at(as_bytes(text), 0);
  temporary.sync();
  temporary.close();
}

// A file that goes when this does.
struct Temporary {
  std::filesystem::path path;
  ~Temporary() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

// Two Ownerships of one process, on threads of their own, must not share one.
std::string temporary_token(const Owner& me) {
  static std::atomic<std::uint64_t> next{0};
  return fmt::format("{}-{}", me.token, next++);
}

// Where a file system has no hard links, a file has its name before it has its words.
std::optional<Owner> wait_for_owner(const std::filesystem::path& directory, std::uint64_t generation) {
  constexpr int kLooks = 100;
  for (int i = 0; i < kLooks; ++i) {
    auto owner = read_owner(directory, generation);
    if (owner) return owner;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (highest_generation(directory) != generation) break;
  }
  return std::nullopt;
}

void remove_leftovers_of_others(const std::filesystem::path& directory, std::uint64_t generation) {
  std::vector<std::uint64_t> outdated;
  for (const auto& file : files_in(directory)) {
    const auto left = leftover_generation(file);
    if ((left && *left < generation) || is_half_removed(file)) posix::remove(file);
    const auto earlier = generation_of(file);
    if (earlier && *earlier + kKept <= generation) outdated.push_back(*earlier);
  }
  // Lowest first: where one is gone, all below it are.
  std::ranges::sort(outdated);
  for (const auto earlier : outdated) posix::remove(generation_file(directory, earlier));
  posix::sync_directory(directory);
}

}  // namespace

std::optional<Owner> read_owner(const std::filesystem::path& directory, std::uint64_t generation) {
  std::ifstream file(generation_file(directory, generation));
  const auto json = nlohmann::json::parse(file, nullptr, false);
  return json.is_object() ? owner_from(json) : std::nullopt;
}

std::uint64_t highest_generation(const std::filesystem::path& directory) {
  std::uint64_t highest = 0;
  for (const auto& file : files_in(directory)) highest = std::max(highest, generation_of(file).value_or(0));
  return highest;
}

void throw_if_superseded(Ownership& ownership) {
  try {
    ownership.check();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::superseded) throw;
  }
}

Ownership::Ownership(std::filesystem::path directory, Owner me, bool take_over, JobRuns job_runs)
    : directory_(std::move(directory)), me_(std::move(me)), take_over_(take_over), job_runs_(std::move(job_runs)) {}

Ownership::~Ownership() { let_go(); }

std::uint64_t Ownership::generation() const {
  const std::lock_guard lock(mutex_);
  return generation_;
}

std::optional<Ownership::Stamp> Ownership::stamp_of(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0) {
    return Stamp{status.st_ino, status.st_mtim.tv_sec * std::int64_t{1000000000} + status.st_mtim.tv_nsec};
  }
  if (errno != ENOENT && errno != ENOTDIR) posix::fail("look for", file, errno);
  return std::nullopt;
}

// The next generation first: files of generations go in their order, so that where the next one came and went, ours
// had gone before.
Ownership::Look Ownership::look() {
  if (stamp_of(generation_file(directory_, generation_ + 1))) return Look::superseded;
  const auto stamp = stamp_of(generation_file(directory_, generation_));
  if (!stamp) return highest_generation(directory_) == 0 ? Look::made_anew : Look::superseded;
  if (stamp == stamp_) return Look::held;
  // Written again by one that shares it, or another one with our number in a directory that was made anew.
  auto owner = read_owner(directory_, generation_);
  if (!owner || owner->token != token_) return Look::superseded;
  stamp_ = stamp;
  if (owner->released) join(generation_, *owner);
  return Look::held;
}

void Ownership::throw_superseded(std::string_view consequence) const {
  const auto highest = highest_generation(directory_);
  const auto owner = read_owner(directory_, highest);
  throw Error(ErrorKind::superseded,
              fmt::format("this run was superseded in {}: generation {} belongs to {}; {}", directory_.string(),
                          highest, owner ? text_of(*owner) : "somebody who cannot be made out", consequence));
}

std::uint64_t Ownership::held() {
  const std::lock_guard lock(mutex_);
  if (generation_ == 0) return 0;
  switch (look()) {
    case Look::held:
      break;
    case Look::superseded:
      throw_superseded("nothing was published");
    case Look::made_anew:
      let_go();
  }
  return generation_;
}

void Ownership::check(std::string_view consequence) {
  const std::lock_guard lock(mutex_);
  const auto found = generation_ == 0 ? Look::made_anew : look();
  if (found == Look::superseded) throw_superseded(consequence);
  if (found == Look::held) return;
  throw Error(ErrorKind::io, fmt::format("{} is gone: the directory was cleared in the middle of this save",
                                         generation_file(directory_, generation_).string()));
}

std::uint64_t Ownership::claim() {
  const std::lock_guard lock(mutex_);
  if (generation_ != 0) {
    const auto found = look();
    if (found == Look::held) return generation_;
    if (found == Look::superseded) throw_superseded("nothing was published");
    let_go();
  }
  // Each round that finds no end met somebody else who claimed at the same moment.
  constexpr int kRounds = 1000;
  for (int round = 0; round < kRounds; ++round) {
    if (const auto generation = claim_once()) return *generation;
  }
  throw Error(ErrorKind::io, directory_.string() + ": no generation can be taken, others are always faster");
}

std::optional<std::uint64_t> Ownership::claim_once() {
  const auto highest = highest_generation(directory_);
  if (highest > 0) {
    auto owner = wait_for_owner(directory_, highest);
    const auto relation = owner ? relation_to(*owner, me_, job_runs_) : Relation::held;
    if (!owner && highest_generation(directory_) != highest) return std::nullopt;
    if (relation == Relation::later) throw_superseded("nothing was published");
    if (relation == Relation::ours) {
      join(highest, *owner);
      return look() == Look::held ? std::optional(highest) : std::nullopt;
    }
    if (relation == Relation::held && !take_over_) {
      if (highest_generation(directory_) != highest) return std::nullopt;
      throw Error(ErrorKind::busy,
                  fmt::format("{} is held by {}, which may be running still; if it is not, start with "
                              "CheckpointerOptions::take_over, or MUSTER_TAKE_OVER=1",
                              directory_.string(), owner ? text_of(*owner) : "somebody who cannot be made out"));
    }
  }
  failpoint::pass("ownership.before_link");
  auto next = highest + 1;
  // Where somebody removed the files of generations alone: nothing of theirs may look like ours.
  for (const auto& file : files_in(directory_)) next = std::max(next, leftover_generation(file).value_or(0) + 1);
  if (::faccessat(AT_FDCWD, directory_.c_str(), W_OK, AT_EACCESS) != 0) posix::fail("write in", directory_, errno);
  if (!make_generation(next)) return std::nullopt;
  posix::sync_directory(directory_);
  if (highest_generation(directory_) != next) return std::nullopt;  // ours lies below one that was taken long ago
  failpoint::pass("ownership.before_cleaning");
  hold(next, me_.token);
  remove_leftovers_of_others(directory_, next);
  return next;
}

// False where somebody else has it.
bool Ownership::make_generation(std::uint64_t generation) {
  const Temporary temporary{claim_part(directory_, temporary_token(me_))};
  write_durably(temporary.path, me_, generation);
  const auto file = generation_file(directory_, generation);
  if (::link(temporary.path.c_str(), file.c_str()) == 0) return true;
  const int cause = errno;
  // The temporary file of one that claims may be taken for a leftover by one that has claimed.
  if (cause == ENOENT) return false;
  // Over NFS the answer to a link that was made may get lost, and the link be asked for again.
  struct stat status {};
  if (cause == EEXIST) return ::stat(temporary.path.c_str(), &status) == 0 && status.st_nlink == 2;
  if (cause != EPERM && cause != EOPNOTSUPP && cause != ENOSYS && cause != EMLINK) posix::fail("make", file, cause);
  // A file system without hard links.
  const int made = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (made < 0 && errno == EEXIST) return false;
  if (made < 0) posix::fail("make", file, errno);
  ::close(made);
  posix::rename(temporary.path, file);
  return true;
}

// Shares a generation that this process or another one of this launch has taken.
void Ownership::join(std::uint64_t generation, Owner owner) {
  if (generation != generation_) hold(generation, owner.token);
  if (!owner.released) return;
  owner.process = me_.process;
  owner.released = false;
  rewrite(std::move(owner));
}

void Ownership::hold(std::uint64_t generation, const std::string& token) {
  generation_ = generation;
  token_ = token;
  stamp_ = stamp_of(generation_file(directory_, generation));
  std::error_code ignored;
  users_key_ =
      fmt::format("{} {} {}", std::filesystem::weakly_canonical(directory_, ignored).string(), generation, me_.token);
  users().add(users_key_);
}

// Our own generation's file is nobody else's: to replace it harms nobody, even where a later one was taken.
void Ownership::rewrite(Owner owner) {
  const Temporary temporary{claim_part(directory_, temporary_token(me_))};
  write_durably(temporary.path, owner, generation_);
  posix::rename(temporary.path, generation_file(directory_, generation_));
  stamp_ = stamp_of(generation_file(directory_, generation_));
}

void Ownership::let_go() noexcept {
  if (generation_ == 0) return;
  try {
    SpaceRelease::wait();  // whoever comes next is to find the room
    const bool is_last = users().remove(users_key_);
    auto owner = is_last && look() == Look::held ? read_owner(directory_, generation_) : std::nullopt;
    // Where another process of the launch has taken it up, it is that one's to release.
    if (owner && owner->token == token_ && owner->process.pid == me_.process.pid &&
        owner->process.host == me_.process.host && !owner->released) {
      owner->released = true;
      rewrite(*owner);
    }
  } catch (const std::exception& error) {
    // The next job sees by other signs that we are gone, or asks. One that is there already has cleared this away.
    std::error_code ignored;
    if (!std::filesystem::exists(generation_file(directory_, generation_ + 1), ignored)) log_warning(error.what());
  }
  generation_ = 0;
}

}  // namespace muster::store
