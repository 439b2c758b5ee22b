// Who owns a directory, with real files and processes.

#include "store/ownership.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/failpoint.hpp"
#include "store/directory.hpp"
#include "store/names.hpp"
#include "store/pointer.hpp"
#include "store/publish.hpp"
#include "store/removal.hpp"
#include "store/retention.hpp"
#include "support/child.hpp"
#include "support/expect_error.hpp"
#include "support/files.hpp"

namespace muster::store::ownership_test {
namespace {

using test::Child;
using test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Somebody who is not this process, but as alive as it is.
Owner somebody(const std::string& token) {
  auto owner = this_owner();
  owner.token = token;
  owner.launch = "launch of " + token;
  owner.job = "";
  return owner;
}

Owner elsewhere(const std::string& token) {
  auto owner = somebody(token);
  owner.process.host = "elsewhere";
  return owner;
}

Owner of_job(Owner owner, const std::string& job, std::uint64_t restart = 0) {
  owner.cluster = "c";
  owner.job = job;
  owner.restart = restart;
  return owner;
}

const JobRuns kNobodyKnows = [](const std::string&) { return std::nullopt; };
const JobRuns kNeverAsked = [](const std::string& job) {
  ADD_FAILURE() << "asked for job " << job;
  return std::nullopt;
};

class Owned : public testing::Test {
 protected:
  // What the owner gets; the directory stays claimed as if it had ended without a word.
  std::uint64_t claim_and_vanish(const Owner& owner, bool take_over = false) {
    kept_.emplace_back(path(), owner, take_over, kNobodyKnows);
    return kept_.back().claim();
  }
  std::uint64_t claim(const Owner& owner, bool take_over = false, const JobRuns& job_runs = kNeverAsked) {
    return Ownership(path(), owner, take_over, job_runs).claim();
  }
  [[nodiscard]] std::vector<std::uint64_t> generations() const {
    std::set<std::uint64_t> found;
    for (const auto& file : files_in(path())) {
      if (const auto generation = generation_of(file)) found.insert(*generation);
    }
    return {found.begin(), found.end()};
  }
  void write(const std::filesystem::path& file, const std::string& text = "x") const { test::write_text(file, text); }
  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }

 private:
  test::TempDir directory_;
  std::list<Ownership> kept_;
};

TEST_F(Owned, ByTheFirstThatComesAndByAllOfItsProcess) {
  Ownership first(path(), this_owner(), false);
  EXPECT_EQ(first.held(), 0U);
  EXPECT_THAT(generations(), IsEmpty());
  EXPECT_EQ(first.claim(), 1U);
  EXPECT_EQ(first.claim(), 1U);
  EXPECT_EQ(first.held(), 1U);
  Ownership second(path(), this_owner(), false);
  EXPECT_EQ(second.claim(), 1U);
  EXPECT_NO_THROW(first.check());
  EXPECT_NO_THROW(second.check());
  EXPECT_THAT(generations(), ElementsAre(1));
  EXPECT_THAT(test::names_in(path()), IsEmpty());
  const auto owner = read_owner(path(), 1);
  ASSERT_TRUE(owner);
  EXPECT_EQ(to_json(*owner), to_json(*owner_from(to_json(*owner))));
  EXPECT_EQ(owner->process.pid, ::getpid());
  EXPECT_FALSE(owner->released);
}

TEST_F(Owned, IsReleasedWithTheLastOfAProcess) {
  auto first = std::make_unique<Ownership>(path(), somebody("a"), false);
  auto second = std::make_unique<Ownership>(path(), somebody("a"), false);
  first->claim();
  second->claim();
  first.reset();
  error_of(ErrorKind::busy, [&] { claim(somebody("b")); });
  second.reset();
  EXPECT_TRUE(read_owner(path(), 1)->released);
  EXPECT_EQ(claim(elsewhere("b")), 2U);
}

TEST_F(Owned, AgainByWhoReleasedItIsTheSameGeneration) {
  EXPECT_EQ(claim(somebody("a")), 1U);
  Ownership again(path(), somebody("a"), false);
  EXPECT_EQ(again.claim(), 1U);
  EXPECT_FALSE(read_owner(path(), 1)->released);
  error_of(ErrorKind::busy, [&] { claim(somebody("b")); });
}

TEST_F(Owned, ByALiveProcessIsBusyUnlessTakenOver) {
  claim_and_vanish(of_job(somebody("a"), "12"));
  const auto message = error_of(ErrorKind::busy, [&] { claim(somebody("b")); });
  EXPECT_THAT(message, HasSubstr(path().string() + " is held by job 12 (restart 0) on "));
  EXPECT_THAT(message, HasSubstr("(pid " + std::to_string(::getpid()) + ") since 20"));
  EXPECT_THAT(message, HasSubstr("CheckpointerOptions::take_over, or MUSTER_TAKE_OVER=1"));
  EXPECT_THAT(generations(), ElementsAre(1));
  EXPECT_EQ(claim(somebody("b"), true), 2U);
}

TEST_F(Owned, ByAProcessThatDiedIsFree) {
  Child child([&] { return static_cast<int>(claim_and_vanish(somebody("a"))); });
  EXPECT_EQ(child.wait(), 1);
  EXPECT_EQ(claim_and_vanish(somebody("b")), 2U);
  auto reborn = somebody("c");  // another process has its number now
  reborn.process.pid_start += 1;
  claim_and_vanish(reborn, true);
  EXPECT_EQ(claim(somebody("d")), 4U);
}

TEST_F(Owned, ByAProcessThatIsKilledIsFreeAndByOneThatIsStoppedIsNot) {
  Child child([&] {
    claim_and_vanish(somebody("a"));
    ::raise(SIGSTOP);
    return 0;
  });
  ASSERT_TRUE(child.wait_until_stopped());
  EXPECT_EQ(read_owner(path(), 1)->process.pid, child.pid());
  error_of(ErrorKind::busy, [&] { claim(somebody("b")); });
  ::kill(child.pid(), SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT);  // a zombie from here on
  EXPECT_EQ(claim(somebody("b")), 2U);
}

TEST_F(Owned, ByAProcessOfAnEarlierBootIsFree) {
  auto before = somebody("a");
  before.process.boot = "another boot";
  claim_and_vanish(before);
  EXPECT_EQ(claim(somebody("b")), 2U);
}

TEST_F(Owned, ByAnotherHostOrContainerIsBusy) {
  claim_and_vanish(elsewhere("a"));
  error_of(ErrorKind::busy, [&] { claim(somebody("b")); });
  auto contained = somebody("c");
  contained.process.pid_namespace = 1;
  contained.process.pid = 1 << 30;
  claim_and_vanish(contained, true);
  error_of(ErrorKind::busy, [&] { claim(somebody("b")); });
}

TEST_F(Owned, ByAnotherJobIsFreeWhereSlurmSaysThatItIsOver) {
  claim_and_vanish(of_job(elsewhere("a"), "12"));
  std::vector<std::string> asked;
  const auto answer = [&](std::optional<bool> runs) {
    return [&asked, runs](const std::string& job) {
      asked.push_back(job);
      return runs;
    };
  };
  error_of(ErrorKind::busy, [&] { claim(of_job(somebody("b"), "13"), false, answer(true)); });
  error_of(ErrorKind::busy, [&] { claim(of_job(somebody("b"), "13"), false, answer(std::nullopt)); });
  EXPECT_THAT(asked, ElementsAre("12", "12"));
  error_of(ErrorKind::busy, [&] { claim(somebody("b")); });  // not of any cluster
  auto other_cluster = of_job(somebody("b"), "13");
  other_cluster.cluster = "another";
  error_of(ErrorKind::busy, [&] { claim(other_cluster); });
  EXPECT_EQ(claim(of_job(somebody("b"), "13"), false, answer(false)), 2U);
}

TEST_F(Owned, ByAnEarlierStartOfTheJobGivesWayAndNeverComesBack) {
  Ownership orphan(path(), of_job(somebody("a"), "12", 0), false);
  EXPECT_EQ(orphan.claim(), 1U);
  EXPECT_EQ(claim_and_vanish(of_job(elsewhere("b"), "12", 1)), 2U);
  const auto message = error_of(ErrorKind::superseded, [&] { orphan.check(); });
  EXPECT_THAT(message, HasSubstr("this run was superseded in " + path().string() +
                                 ": generation 2 belongs to job 12 (restart 1) on elsewhere (pid "));
  EXPECT_THAT(message, HasSubstr("Z; nothing was published"));
  for (int i = 0; i < 2; ++i) {
    error_of(ErrorKind::superseded, [&] { orphan.held(); });
    error_of(ErrorKind::superseded, [&] { orphan.claim(); });
  }
  // An orphan that comes to its first save only now, even where its script asks to take over.
  error_of(ErrorKind::superseded, [&] { claim(of_job(somebody("c"), "12", 0), true); });
  EXPECT_THAT(generations(), ElementsAre(1, 2));
}

TEST_F(Owned, ByAnotherLaunchOfTheSameStartGivesWayUnlessItIsAlive) {
  claim_and_vanish(of_job(somebody("a"), "12"));
  error_of(ErrorKind::busy, [&] { claim(of_job(somebody("b"), "12")); });
  claim_and_vanish(of_job(elsewhere("c"), "12"), true);
  EXPECT_EQ(claim(of_job(somebody("b"), "12")), 3U);
}

TEST_F(Owned, IsSharedByTheProcessesOfALaunch) {
  auto one = of_job(elsewhere("one"), "12");
  auto two = of_job(somebody("two"), "12");
  one.launch = two.launch = "the same";
  auto first = std::make_unique<Ownership>(path(), one, false);
  Ownership second(path(), two, true);
  EXPECT_EQ(first->claim(), 1U);
  EXPECT_EQ(second.claim(), 1U);
  first.reset();
  EXPECT_TRUE(read_owner(path(), 1)->released);
  EXPECT_NO_THROW(second.check());  // and says so
  EXPECT_FALSE(read_owner(path(), 1)->released);
  error_of(ErrorKind::busy, [&] { claim(somebody("b")); });
}

TEST_F(Owned, BySomebodyWhoCannotBeMadeOutIsBusy) {
  write(generation_file(path(), 5), "{}");
  EXPECT_THAT(error_of(ErrorKind::busy, [&] { claim(somebody("a")); }), HasSubstr("somebody who cannot be made out"));
  EXPECT_EQ(claim(somebody("a"), true), 6U);
}

TEST_F(Owned, IsCleanedOfWhatEarlierGenerationsLeft) {
  claim_and_vanish(somebody("a"));
  write(part_file(path(), "of_a", 1));
  write(path() / ".of_before.h5.part");
  write(pointer_part(path(), kLatestPointer, 1));
  write(claim_part(path(), "killed"));
  write(path() / "tag.h5");
  write(path() / "latest");
  { const PendingRemoval forgotten(path(), "tag.h5", 1); }
  std::filesystem::create_symlink(".retired-by-muster", path() / "half.h5");
  std::filesystem::create_symlink("tag.h5", path() / "alias.h5");
  EXPECT_EQ(claim_and_vanish(somebody("b"), true), 2U);
  EXPECT_THAT(test::names_in(path()), ElementsAre("alias.h5", "latest", "tag.h5"));
  EXPECT_FALSE(std::filesystem::exists(claim_part(path(), "killed")));
}

TEST_F(Owned, KeepsTheFilesOfTheLastGenerations) {
  for (std::uint64_t i = 1; i <= 20; ++i) EXPECT_EQ(claim(somebody(std::to_string(i))), i);
  EXPECT_THAT(generations(), ElementsAre(13, 14, 15, 16, 17, 18, 19, 20));
}

TEST_F(Owned, ThatIsMadeAnewIsClaimedAgain) {
  Ownership ownership(path(), somebody("a"), false);
  claim(somebody("before"));
  EXPECT_EQ(ownership.claim(), 2U);
  std::filesystem::remove_all(path());
  std::filesystem::create_directory(path());
  EXPECT_THAT(error_of(ErrorKind::io, [&] { ownership.check(); }), HasSubstr("the directory was cleared"));
  EXPECT_EQ(ownership.held(), 0U);
  EXPECT_EQ(ownership.claim(), 1U);
  EXPECT_NO_THROW(ownership.check());
}

TEST_F(Owned, ThatIsMadeAnewAndTakenBySomebodyElseIsTheirs) {
  Ownership ownership(path(), somebody("a"), false);
  EXPECT_EQ(ownership.claim(), 1U);
  std::filesystem::remove_all(path());
  std::filesystem::create_directory(path());
  EXPECT_EQ(claim_and_vanish(somebody("b")), 1U);  // with our number
  error_of(ErrorKind::superseded, [&] { ownership.check(); });
  error_of(ErrorKind::superseded, [&] { ownership.held(); });
}

TEST_F(Owned, WithoutFilesOfGenerationsGoesOnBehindThePartsThatAreThere) {
  write(part_file(path(), "t", 41));
  EXPECT_EQ(claim(somebody("a")), 42U);
  EXPECT_THAT(test::names_in(path()), IsEmpty());
}

// Many that all take the directory from each other as fast as they can: each number is given once.
TEST_F(Owned, IsClaimedByOneOfManyAtATime) {
  constexpr int kProcesses = 8;
  constexpr int kClaims = 25;
  std::array<int, 2> numbers{};
  ASSERT_EQ(::pipe(numbers.data()), 0);
  std::list<Child> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.emplace_back([&, i] {
      for (int k = 0; k < kClaims; ++k) {
        const auto generation = claim(somebody(std::to_string(i) + "." + std::to_string(k)), true);
        if (::write(numbers[1], &generation, sizeof generation) != sizeof generation) return 1;
      }
      return 0;
    });
  }
  for (auto& child : children) EXPECT_EQ(child.wait(), 0);
  ::close(numbers[1]);
  std::set<std::uint64_t> taken;
  std::uint64_t generation = 0;
  while (::read(numbers[0], &generation, sizeof generation) == sizeof generation) {
    EXPECT_TRUE(taken.insert(generation).second) << generation << " was given twice";
  }
  ::close(numbers[0]);
  EXPECT_EQ(taken.size(), static_cast<std::size_t>(kProcesses * kClaims));
  EXPECT_EQ(highest_generation(path()), *taken.rbegin());
  EXPECT_LE(generations().size(), 8U + kProcesses);
  for (const auto& file : files_in(path())) EXPECT_TRUE(generation_of(file)) << file;
}

// Two Checkpointers of a job may come to retire the same tag.
TEST_F(Owned, LosesATagOnceWhereTwoRemoveIt) {
  write(path() / "old.h5");
  PendingRemoval one(path(), "old.h5", 1);
  PendingRemoval two(path(), "old.h5", 1);
  one.remove();
  two.remove();
  EXPECT_THAT(test::names_in(path()), IsEmpty());
  write(path() / "kept.h5");
  PendingRemoval superseded(path(), "kept.h5", 1);
  Directory(path()).clear_leftovers(1);
  error_of(ErrorKind::io, [&] { superseded.remove(); });
  EXPECT_THAT(test::names_in(path()), ElementsAre("kept.h5"));
}

// Looked, then slept while others took the directory many times and the number that it wanted was cleared away.
TEST_F(Owned, IsNotClaimedOnTheStrengthOfAnOldLook) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  claim(somebody("before"));
  Child child([&] {
    failpoint::arm("ownership.before_link", "stop");
    return static_cast<int>(claim_and_vanish(somebody("late"), true));
  });
  ASSERT_TRUE(child.wait_until_stopped());
  for (std::uint64_t i = 2; i <= 20; ++i) EXPECT_EQ(claim(somebody(std::to_string(i))), i);
  EXPECT_EQ(child.resume_to_end(), 21);
}

// An orphan, stopped in the middle of a save, that goes on when the directory belongs to somebody else.
class Orphan : public Owned, public testing::WithParamInterface<const char*> {
 protected:
  static constexpr int kPublished = 0;
  static constexpr int kSuperseded = 1;

  // Saves a tag, with a part made before or after the directory was taken over, and retires another one.
  int save_and_retire(const char* stop_at) {
    Ownership mine(path(), somebody("orphan"), false);
    const auto part = part_file(path(), "mine", mine.claim());
    if (std::string(stop_at) == "before_part") ::raise(SIGSTOP);
    write(part, "saved by the orphan");
    failpoint::arm(stop_at, "stop");
    try {
      publish(mine, part, "mine");
      retire(mine, {"old"});
      return kPublished;
    } catch (const Error& error) {
      std::ofstream(path() / "message") << error.what();
      std::filesystem::remove(part);  // as a save that failed does
      return error.kind() == ErrorKind::superseded ? kSuperseded : 99;
    }
  }
  [[nodiscard]] std::string text_of_file(const std::string& name) const {
    std::ifstream file(path() / name);
    std::string text;
    std::getline(file, text);
    return text;
  }
};

TEST_P(Orphan, ChangesNothingOnceItIsSuperseded) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  const std::string stop_at = GetParam();
  write(path() / "old.h5", "old");
  write(path() / "latest", "old\n");
  Child child([&] { return save_and_retire(GetParam()); });
  ASSERT_TRUE(child.wait_until_stopped()) << stop_at;

  Ownership next(path(), elsewhere("next"), true);
  EXPECT_EQ(next.claim(), 2U);
  const bool was_published = std::filesystem::exists(path() / "mine.h5");
  const auto part = part_file(path(), "mine", 2);
  write(part, "saved by the next one");
  publish(next, part, "mine");
  write(part_file(path(), "under_way", 2));
  const PendingPointer moving(path(), kLatestPointer, "under_way", 2);
  const bool had_old = std::filesystem::exists(path() / "old.h5");
  const auto before = test::names_in(path());

  EXPECT_EQ(child.resume_to_end(), kSuperseded) << stop_at;
  const auto message = text_of_file("message");
  std::filesystem::remove(path() / "message");
  EXPECT_THAT(test::names_in(path()), testing::ElementsAreArray(before)) << stop_at;
  EXPECT_EQ(text_of_file("mine.h5"), "saved by the next one") << stop_at;
  EXPECT_EQ(text_of_file("latest"), "mine") << stop_at;
  EXPECT_EQ(text_of_file("old.h5"), had_old ? "old" : "") << stop_at;
  EXPECT_NO_THROW(next.check());
  const bool retiring = stop_at.starts_with("retention") || stop_at.starts_with("removal");
  EXPECT_THAT(message, HasSubstr("generation 2 belongs to "));
  EXPECT_THAT(message, HasSubstr(retiring        ? "no old checkpoint was removed"
                                 : was_published ? "had been published before, and stays"
                                                 : "nothing was published"))
      << stop_at;
}

INSTANTIATE_TEST_SUITE_P(StoppedAt, Orphan,
                         testing::Values("before_part", "publish.before_pointer", "publish.before_check",
                                         "publish.before_rename", "publish.after_rename", "publish.after_sync",
                                         "retention.before_remove"),
                         [](const auto& stop) {
                           std::string name = stop.param;
                           std::ranges::replace(name, '.', '_');
                           return name;
                         });

// Between the two halves of a removal: what is left to remove is a link that the next owner has removed already.
TEST_F(Owned, LosesNothingMoreToARemovalThatIsHalfDone) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  write(path() / "old.h5", "old");
  Child child([&] {
    Ownership mine(path(), somebody("orphan"), false);
    mine.claim();
    failpoint::arm("removal.in_place", "stop");
    retire(mine, {"old"});
    return 0;
  });
  ASSERT_TRUE(child.wait_until_stopped());
  EXPECT_THAT(Directory(path()).list(), IsEmpty());
  EXPECT_EQ(claim_and_vanish(somebody("next"), true), 2U);
  EXPECT_THAT(test::names_in(path()), IsEmpty());
  EXPECT_EQ(child.resume_to_end(), 0);
  EXPECT_THAT(test::names_in(path()), IsEmpty());
}

// A step of publishing that fails after the rename is undone by the owner alone.
TEST_F(Owned, TakesBackATagWhosePublicationFails) {
  if (!failpoint::compiled_in()) GTEST_SKIP() << "this build has no fault points";
  write(path() / "latest", "old\n");
  Ownership mine(path(), somebody("a"), false);
  const auto part = part_file(path(), "t", mine.claim());
  write(part);
  failpoint::arm("publish.after_sync", "throw");
  error_of(ErrorKind::io, [&] { publish(mine, part, "t"); });
  failpoint::disarm_all();
  EXPECT_THAT(test::names_in(path()), ElementsAre("latest"));
  EXPECT_EQ(read_pointer(path(), kLatestPointer), "old");
}

TEST(Owner, FollowsFromTheEnvironment) {
  ::setenv("SLURM_JOB_ID", "4711", 1);
  ::setenv("SLURM_RESTART_COUNT", "2", 1);
  const auto in_slurm = this_owner();
  EXPECT_EQ(in_slurm.job, "4711");
  EXPECT_EQ(in_slurm.restart, 2U);
  EXPECT_EQ(in_slurm.token, this_owner().token);
  ::unsetenv("SLURM_RESTART_COUNT");
  EXPECT_EQ(this_owner().restart, 0U);
  EXPECT_NE(this_owner().token, in_slurm.token);
  ::unsetenv("SLURM_JOB_ID");
  EXPECT_EQ(liveness(this_process()), Liveness::alive);
}

TEST(SlurmJob, RunsAsSqueueSays) {
  const test::TempDir bin;
  const auto before = std::string(std::getenv("PATH"));
  const auto squeue = [&](const std::string& script) {
    test::write_text(bin.path() / "squeue", "#!/bin/sh\n" + script + "\n");
    std::filesystem::permissions(bin.path() / "squeue", std::filesystem::perms::owner_all);
  };
  ::setenv("PATH", bin.path().c_str(), 1);
  EXPECT_EQ(slurm_job_runs("12"), std::nullopt);  // there is none
  squeue("echo \"$*\" >" + (bin.path() / "arguments").string() + "; echo RUNNING");
  EXPECT_EQ(slurm_job_runs("12"), true);
  std::ifstream file(bin.path() / "arguments");
  std::string arguments;
  std::getline(file, arguments);
  EXPECT_EQ(arguments, "--noheader --jobs=12 --format=%T");
  squeue("echo COMPLETING");
  EXPECT_EQ(slurm_job_runs("12"), true);
  squeue("echo PENDING");
  EXPECT_EQ(slurm_job_runs("12"), false);
  squeue("true");
  EXPECT_EQ(slurm_job_runs("12"), false);
  squeue("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
  EXPECT_EQ(slurm_job_runs("12"), false);
  squeue("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
  EXPECT_EQ(slurm_job_runs("12"), std::nullopt);
  squeue("echo RUNNING; kill -9 $$");
  EXPECT_EQ(slurm_job_runs("12"), std::nullopt);
  EXPECT_EQ(slurm_job_runs("12;true"), std::nullopt);
  EXPECT_EQ(slurm_job_runs(""), std::nullopt);
  ::setenv("PATH", before.c_str(), 1);
}

// MPICH's launcher.
TEST(HolderTest, NamesALaunchOfHydraByWhereItListens) {
  using namespace std::string_literals;
  const auto proxy = "/usr/bin/hydra_pmi_proxy\0--control-port\0node7:42249\0--rmk\0user\0--proxy-id\0"s;
  EXPECT_EQ(hydra_launch_of(proxy + "0\0"s), "hydra node7:42249");
  EXPECT_EQ(hydra_launch_of(proxy + "1\0"s), "hydra node7:42249");
  EXPECT_EQ(hydra_launch_of("hydra_pmi_proxy\0--control-port\0node7:1"s), "hydra node7:1");
  for (const auto& other :
       {""s, "hydra_pmi_proxy"s, "hydra_pmi_proxy\0--rmk\0user\0"s, "grep\0--control-port\0a:1\0"s}) {
    EXPECT_EQ(hydra_launch_of(other), "") << other;
  }
}

}  // namespace
}  // namespace muster::store::ownership_test
