// Documents that rank 0 makes of what all ranks say.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/collective.hpp"
#include "support/model.hpp"
#include "support/scratch.hpp"

namespace muster::joined_document_test {
namespace {

using test::collective_error;
using test::Model;
using test::Scratch;
using test::world_rank;
using test::world_size;

constexpr const char* kPath = "/optimizer/names";

class JoinedDocument : public testing::Test {
 protected:
  // Rank 0 adds what only it knows, and what changes from save to save.
  State state_with(const std::string& contribution) {
    auto state = model_.state();
    Document document{.path = kPath, .value = nullptr, .contribution = contribution};
    if (world_rank() == 0) {
      document.join = [this](const std::vector<std::string>& all) {
        return nlohmann::json{{"step", step_}, {"all", all}};
      };
    }
    state.add(document);
    return state;
  }

  nlohmann::json saved(const std::string& tag) {
    LoadTarget nothing;
    return *checkpointer_.load({.tag = tag}, nothing).contents.find_document(kPath);
  }

  static std::vector<std::string> one_by_rank() {
    std::vector<std::string> all;
    for (int rank = 0; rank < world_size(); ++rank) all.push_back("of " + std::to_string(rank / 2));
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  Scratch scratch_;
  Model model_{1};
  int step_ = 0;
  Checkpointer checkpointer_{MPI_COMM_WORLD, scratch_.path()};
};

TEST_F(JoinedDocument, HasTheWordsOfAllRanksAndTheValueOfNow) {
  const auto contribution = "of " + std::to_string(world_rank() / 2);
  step_ = 1;
  EXPECT_FALSE(checkpointer_.save(state_with(contribution), {.tag = "a"}).plan_reused);
  step_ = 2;
  EXPECT_TRUE(checkpointer_.save(state_with(contribution), {.tag = "b"}).plan_reused);
  step_ = 3;
  checkpointer_.save_async(state_with(contribution), {.tag = "c"}).wait();
  step_ = 4;
  EXPECT_EQ(saved("a"), (nlohmann::json{{"step", 1}, {"all", one_by_rank()}}));
  EXPECT_EQ(saved("b"), (nlohmann::json{{"step", 2}, {"all", one_by_rank()}}));
  EXPECT_EQ(saved("c"), (nlohmann::json{{"step", 3}, {"all", one_by_rank()}}));
}

TEST_F(JoinedDocument, FollowsARankThatChangesItsWords) {
  checkpointer_.save(state_with("x"), {.tag = "a"});
  const bool last = world_rank() == world_size() - 1;
  EXPECT_FALSE(checkpointer_.save(state_with(last ? "y" : "x"), {.tag = "b"}).plan_reused);
  EXPECT_EQ(saved("a")["all"], nlohmann::json({"x"}));
  const auto both = world_size() == 1 ? nlohmann::json({"y"}) : nlohmann::json({"x", "y"});
  EXPECT_EQ(saved("b")["all"], both);
}

TEST_F(JoinedDocument, ThatCannotBeMadeFailsOnAllRanks) {
  checkpointer_.save(state_with("x"), {.tag = "a"});
  for (const auto* contribution : {"x", "y"}) {  // with the plan of before, and without
    auto state = model_.state();
    Document document{.path = kPath, .value = nullptr, .contribution = contribution};
    document.join = [](const std::vector<std::string>&) -> nlohmann::json {
      throw Error(ErrorKind::mismatch, "these contribution do not go together");
    };
    state.add(document);
    EXPECT_THROW(checkpointer_.save(state, {.tag = "b"}), CollectiveError);
    EXPECT_FALSE(std::filesystem::exists(scratch_.path() / "b.h5"));
  }
  EXPECT_FALSE(checkpointer_.save(state_with("z"), {.tag = "c"}).plan_reused);
  EXPECT_EQ(saved("c")["all"], nlohmann::json({"z"}));
}

}  // namespace
}  // namespace muster::joined_document_test
