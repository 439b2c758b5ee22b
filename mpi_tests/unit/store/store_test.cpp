// The directory of tags: names, order, pointers, retention, resume.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <muster/error.hpp>

#include "store/directory.hpp"
#include "store/names.hpp"
#include "store/pointer.hpp"
#include "store/publish.hpp"
#include "store/resume.hpp"
#include "store/retention.hpp"
#include "support/expect_error.hpp"
#include "support/files.hpp"
#include "support/sample.hpp"
#include "support/sync_record.hpp"

namespace muster::store_test {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Names, AcceptsFileNames) {
  for (const std::string tag :
       {"step_100", "a", "best model", "x.h5", "latest", "-", "a.b.c", "\u00e9", "x..", "%2F"}) {
    EXPECT_NO_THROW(store::check_tag(tag)) << tag;
  }
  EXPECT_NO_THROW(store::check_tag(std::string(200, 't')));
}

TEST(Names, RefusesWhatIsNoFileName) {
  const std::vector<std::pair<std::string, std::string>> refused = {{"", "is empty"},
                                                                    {"a/b", "'/'"},
                                                                    {"/", "'/'"},
                                                                    {".", "starts with '.'"},
                                                                    {"..", "starts with '.'"},
                                                                    {".hidden", "starts with '.'"},
                                                                    {std::string(201, 't'), "201 bytes"},
                                                                    {"a\nb", "control character"},
                                                                    {std::string("a\0b", 3), "control character"},
                                                                    {"\x7f", "control character"},
                                                                    {"caf\xe9", "UTF-8"}};
  for (const auto& [tag, why] : refused) {
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { store::check_tag(tag); }), HasSubstr(why));
  }
}

TEST(Names, KnowsTagsFromOtherFiles) {
  EXPECT_EQ(store::tag_of("/d/step_1.h5"), "step_1");
  EXPECT_EQ(store::tag_of("/d/x.h5.h5"), "x.h5");
  for (const char* file : {"/d/.step_1.h5.part", "/d/.h5", "/d/latest", "/d/step_1.h5.part", "/d/.x.h5"}) {
    EXPECT_EQ(store::tag_of(file), std::nullopt) << file;
  }
  const std::string tag(200, 't');
  EXPECT_EQ(store::tag_of(store::tag_file("/d", tag)), tag);
  EXPECT_LE(store::part_file("/d", tag, std::numeric_limits<std::uint64_t>::max()).filename().string().size(), 255U);
  EXPECT_TRUE(store::is_leftover(store::part_file("/d", tag, std::numeric_limits<std::uint64_t>::max())));
  EXPECT_TRUE(store::is_leftover("/d/.latest.pointer.part"));
  EXPECT_FALSE(store::is_leftover("/d/.generation-7"));
  EXPECT_FALSE(store::is_leftover(store::tag_file("/d", tag)));
  EXPECT_FALSE(store::is_leftover("/d/notes.h5.part"));
}

TEST(Names, TellTheGenerationThatLeftAFile) {
  EXPECT_EQ(store::leftover_generation(store::part_file("/d", "x.g3", 12)), 12U);
  EXPECT_EQ(store::leftover_generation(store::pointer_part("/d", "latest", 1)), 1U);
  EXPECT_EQ(store::leftover_generation(store::retired_part("/d", "step_1.h5", 999)), 999U);
  EXPECT_EQ(store::leftover_generation(store::claim_part("/d", "abc")), 0U);
  EXPECT_EQ(store::leftover_generation("/d/.step_1.h5.part"), 0U);
  EXPECT_EQ(store::leftover_generation("/d/.step_1.g.h5.part"), 0U);
  EXPECT_EQ(store::leftover_generation("/d/.step_1.g7x.h5.part"), 0U);
  EXPECT_EQ(store::leftover_generation("/d/step_1.h5"), std::nullopt);
  EXPECT_EQ(store::generation_of(store::generation_file("/d", 41)), 41U);
  for (const char* file : {"/d/.generation-", "/d/.generation-x", "/d/.generation-1.claim.part", "/d/generation-1"}) {
    EXPECT_EQ(store::generation_of(file), std::nullopt) << file;
  }
}

class Store : public testing::Test {
 protected:
  void save(const std::string& tag, std::uint64_t sequence) {
    test::write_sample(path(), {.tag = tag, .sequence = sequence});
  }
  void point(const std::string& tag) { test::write_text(path() / "latest", tag + "\n"); }
  static std::vector<std::string> tags(const std::vector<store::TagEntry>& entries) {
    std::vector<std::string> tags;
    for (const auto& entry : entries) tags.push_back(entry.tag);
    return tags;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return scratch_.path(); }

  test::TempDir scratch_;
  store::Directory directory_{scratch_.path()};
};

TEST_F(Store, ListsBySequenceWhateverTheTimesAndNames) {
  save("z_oldest", 1);
  save("a_newest", 3);
  save("m_middle", 2);
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(path() / "z_oldest.h5", now);
  std::filesystem::last_write_time(path() / "m_middle.h5", now - std::chrono::hours(1));
  std::filesystem::last_write_time(path() / "a_newest.h5", now - std::chrono::hours(2));
  EXPECT_THAT(tags(directory_.list()), ElementsAre("a_newest", "m_middle", "z_oldest"));
  EXPECT_EQ(directory_.next_sequence(), 4U);
}

TEST_F(Store, ListsWhatIsNotSoundLastAndSaysWhy) {
  save("good", 1);
  save("renamed", 9);
  std::filesystem::rename(path() / "renamed.h5", path() / "other.h5");
  test::write_text(path() / "garbage.h5", "no HDF5 at all");
  std::filesystem::create_directory(path() / "folder.h5");
  test::write_text(path() / ".part.h5.part", "left by a killed save");
  test::write_text(path() / "notes.txt", "hello");
  const auto entries = directory_.list();
  ASSERT_THAT(tags(entries), ElementsAre("good", "garbage", "other"));
  EXPECT_TRUE(entries[0].run);
  EXPECT_FALSE(entries[1].run);
  EXPECT_THAT(entries[1].fault, HasSubstr("garbage.h5"));
  EXPECT_THAT(entries[2].fault, HasSubstr("was saved as renamed"));
}

TEST_F(Store, SeesWhatChangedSinceTheLastList) {
  save("a", 1);
  EXPECT_THAT(tags(directory_.list()), ElementsAre("a"));
  save("b", 2);
  EXPECT_THAT(tags(directory_.list()), ElementsAre("b", "a"));
  std::filesystem::remove(path() / "b.h5");
  EXPECT_THAT(tags(directory_.list()), ElementsAre("a"));
  test::write_text(path() / "a.h5", "gone bad");
  EXPECT_FALSE(directory_.list().front().run);
}

TEST_F(Store, ADirectoryThatDoesNotExistHasNoTags) {
  store::Directory missing(path() / "none");
  EXPECT_THAT(missing.list(), IsEmpty());
  EXPECT_EQ(missing.next_sequence(), 1U);
}

TEST_F(Store, CreatesADirectoryWithItsParents) {
  const store::Directory deep(path() / "a" / "b" / "c");
  deep.create();
  EXPECT_TRUE(std::filesystem::is_directory(path() / "a/b/c"));
  EXPECT_NO_THROW(deep.create());
  const store::Directory slash((path() / "d").string() + "/");
  slash.create();
  EXPECT_TRUE(std::filesystem::is_directory(path() / "d"));
}

TEST_F(Store, RefusesADirectoryThatIsAFile) {
  test::write_text(path() / "file", "");
  EXPECT_THAT(error_of(ErrorKind::io, [&] { store::Directory(path() / "file").create(); }), HasSubstr("file"));
  EXPECT_THAT(error_of(ErrorKind::io, [&] { store::Directory(path() / "file" / "below").create(); }),
              HasSubstr("file"));
}

TEST_F(Store, ClearsWhatKilledSavesLeft) {
  save("a", 1);
  point("a");
  for (const char* name : {".b.h5.part", ".a.h5.part", ".latest.pointer.part"}) test::write_text(path() / name, "x");
  for (const char* name : {".keep", "b.h5.part"}) test::write_text(path() / name, "x");
  for (const char* name : {".b.g3.h5.part", ".latest.g2.pointer.part"}) test::write_text(path() / name, "x");
  for (const char* name : {".b.g4.h5.part", ".latest.g4.pointer.part", ".x.h5.g4.retired.part"}) {
    test::write_text(path() / name, "of a later one");
  }
  directory_.clear_leftovers(3);
  EXPECT_THAT(test::names_in(path()), ElementsAre(".b.g4.h5.part", ".keep", ".latest.g4.pointer.part",
                                                  ".x.h5.g4.retired.part", "a.h5", "b.h5.part", "latest"));
}

TEST_F(Store, PointersNameATagOrNothing) {
  EXPECT_EQ(store::read_pointer(path(), "latest"), std::nullopt);
  point("step_7");
  EXPECT_EQ(store::read_pointer(path(), "latest"), "step_7");
  for (const std::string& text : {std::string(), std::string("\n"), std::string("../x\n"), std::string("a/b"),
                                  std::string("\0\0\0", 3), std::string(5000, 'x'), std::string("a\tb\n")}) {
    test::write_text(path() / "latest", text);
    EXPECT_EQ(store::read_pointer(path(), "latest"), std::nullopt) << text;
  }
  std::filesystem::remove(path() / "latest");
  std::filesystem::create_directory(path() / "latest");
  EXPECT_EQ(store::read_pointer(path(), "latest"), std::nullopt);
}

TEST_F(Store, APointerMovesAtOnceOrNotAtAll) {
  point("old");
  { const store::PendingPointer dropped(path(), "latest", "new", 1); }
  EXPECT_EQ(store::read_pointer(path(), "latest"), "old");
  EXPECT_THAT(test::names_in(path()), ElementsAre("latest"));
  store::PendingPointer moved(path(), "latest", "new", 1);
  EXPECT_EQ(store::read_pointer(path(), "latest"), "old");
  moved.move();
  EXPECT_EQ(store::read_pointer(path(), "latest"), "new");
}

TEST_F(Store, PublishesAPartUnderItsTag) {
  save("a", 1);
  store::Ownership ownership(path(), store::this_owner(), false);
  const auto part = store::part_file(path(), "a", ownership.claim());
  std::filesystem::rename(path() / "a.h5", part);
  store::publish(ownership, part, "a");
  EXPECT_THAT(test::names_in(path()), ElementsAre("a.h5", "latest"));
  EXPECT_EQ(store::read_pointer(path(), "latest"), "a");
}

// A power cut may undo what was not synced: at no moment may it leave a tag, or a pointer to one, without its bytes.
TEST_F(Store, MakesEachStepDurableBeforeTheNextOne) {
  save("a", 1);
  point("a");
  store::Ownership ownership(path(), store::this_owner(), false);
  const auto part = store::part_file(path(), "b", ownership.claim());
  const test::SyncRecord syncs;
  save("b", 2);
  EXPECT_TRUE(syncs.has_synced(path() / "b.h5")) << "the part file was sealed and not synced";
  std::filesystem::rename(path() / "b.h5", part);
  const auto listings_before = syncs.listings(path()).size();
  const auto before = test::inodes_in(path());
  store::publish(ownership, part, "b");
  EXPECT_TRUE(syncs.has_synced(path() / "b.h5"));
  EXPECT_TRUE(syncs.has_synced(path() / "latest"));
  const auto listings = syncs.listings(path());
  ASSERT_EQ(listings.size(), listings_before + 2);
  const auto& with_tag = listings[listings_before];
  EXPECT_TRUE(with_tag.contains("b.h5"));
  EXPECT_EQ(with_tag.at("latest"), before.at("latest")) << "the pointer moved before its tag was durable";
  EXPECT_EQ(listings.back(), test::inodes_in(path()));
  EXPECT_NE(listings.back().at("latest"), before.at("latest"));
}

TEST_F(Store, PublishesNothingWhereItFails) {
  point("before");
  store::Ownership ownership(path(), store::this_owner(), false);
  const auto part = store::part_file(path(), "none", ownership.claim());
  EXPECT_THAT(error_of(ErrorKind::io, [&] { store::publish(ownership, part, "none"); }), HasSubstr("none.h5"));
  EXPECT_THAT(test::names_in(path()), ElementsAre("latest"));
  EXPECT_EQ(store::read_pointer(path(), "latest"), "before");
}

TEST_F(Store, RetiresTheOldestBeyondTheNewest) {
  for (std::uint64_t i = 1; i <= 5; ++i) save("step_" + std::to_string(i), i);
  EXPECT_THAT(store::tags_to_retire(directory_.list(), 2, "step_5"), ElementsAre("step_1", "step_2", "step_3"));
  EXPECT_THAT(store::tags_to_retire(directory_.list(), 5, "step_5"), IsEmpty());
  EXPECT_THAT(store::tags_to_retire(directory_.list(), 100, "step_5"), IsEmpty());
  store::retire(path(), {"step_1"});
  EXPECT_THAT(tags(directory_.list()), ElementsAre("step_5", "step_4", "step_3", "step_2"));
  store::Ownership ownership(path(), store::this_owner(), false);
  ownership.claim();
  store::retire(ownership, {"step_2"});
  EXPECT_THAT(test::names_in(path()), ElementsAre("step_3.h5", "step_4.h5", "step_5.h5"));
}

TEST_F(Store, NeverRetiresTheTagKnownToBeGood) {
  save("good", 1);
  save("newer", 2);
  EXPECT_THAT(store::tags_to_retire(directory_.list(), 1, "good"), IsEmpty());
}

TEST_F(Store, NeitherCountsNorRetiresWhatIsNotSound) {
  save("a", 1);
  save("b", 2);
  save("c", 3);
  test::flip(path() / "c.h5", 100);
  test::write_text(path() / "garbage.h5", "x");
  EXPECT_THAT(store::tags_to_retire(directory_.list(), 1, "b"), ElementsAre("a"));
}

TEST_F(Store, ResumesFromTheNewestThatLatestNames) {
  save("a", 1);
  save("b", 2);
  point("b");
  const auto order = store::resume_order(directory_);
  EXPECT_THAT(order.tags, ElementsAre("b", "a"));
  EXPECT_THAT(order.warnings, IsEmpty());
}

TEST_F(Store, ResumesFromTheNewestWhateverLatestSays) {
  save("a", 1);
  save("b", 2);
  const auto expect_warning = [&](const std::string& what) {
    const auto order = store::resume_order(directory_);
    EXPECT_THAT(order.tags, ElementsAre("b", "a"));
    EXPECT_THAT(order.warnings, ElementsAre(AllOf(HasSubstr("latest"), HasSubstr(what), HasSubstr("is b"))));
  };
  expect_warning("missing");
  point("a");
  expect_warning("names a");
  point("gone");
  expect_warning("names gone");
  for (const std::string& text : {std::string(), std::string("\n"), std::string("\xff\0/..", 5)}) {
    test::write_text(path() / "latest", text);
    expect_warning("names no tag");
  }
  std::filesystem::remove(path() / "latest");
  std::filesystem::create_directory(path() / "latest");
  expect_warning("names no tag");
}

TEST_F(Store, ResumePassesOverDamagedTagsAndNamesThem) {
  save("a", 1);
  save("b", 2);
  point("b");
  test::flip(path() / "b.h5", 3000);
  const auto order = store::resume_order(directory_);
  EXPECT_THAT(order.tags, ElementsAre("a"));
  EXPECT_THAT(order.warnings, ElementsAre(HasSubstr("skipping tag b"), HasSubstr("the newest sound tag is a")));
}

// As somebody whom files can be kept from.
class AsNobody {
 public:
  AsNobody() : was_(::geteuid()) {
    constexpr uid_t kNobody = 65534;
    if (was_ == 0) {
      EXPECT_EQ(::seteuid(kNobody), 0);
    }
  }
  ~AsNobody() { EXPECT_EQ(::seteuid(was_), 0); }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  uid_t was_;
};

TEST_F(Store, ResumeDoesNotPassOverWhatItCannotOpen) {
  save("a", 1);
  save("b", 2);
  std::filesystem::permissions(path(), std::filesystem::perms::all);
  std::filesystem::permissions(path() / "a.h5", std::filesystem::perms::all);
  std::filesystem::permissions(path() / "b.h5", std::filesystem::perms::none);
  point("b");
  {
    const AsNobody nobody;
    const auto entries = directory_.list();
    ASSERT_EQ(entries.size(), 2U);
    EXPECT_FALSE(entries[1].is_readable);
    const auto message = test::error_of(ErrorKind::io, [&] { store::resume_order(directory_); });
    EXPECT_THAT(message, AllOf(HasSubstr("b.h5"), HasSubstr("Permission denied"), HasSubstr("name a tag")));
  }
  point("a");  // the newest, as it says
  {
    const AsNobody nobody;
    const auto order = store::resume_order(directory_);
    EXPECT_THAT(order.tags, ElementsAre("a"));
    EXPECT_THAT(order.warnings, ElementsAre(HasSubstr("skipping tag b")));
  }
  std::filesystem::permissions(path() / "b.h5", std::filesystem::perms::owner_all);
  EXPECT_THAT(store::resume_order(directory_).tags, ElementsAre("b", "a"));
}

TEST_F(Store, ResumeOfAnEmptyDirectoryFindsNothing) {
  point("x");
  EXPECT_THAT(store::resume_order(directory_).tags, IsEmpty());
}

}  // namespace
}  // namespace muster::store_test
