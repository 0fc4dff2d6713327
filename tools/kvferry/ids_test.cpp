#include "ids.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "kvferry/error.hpp"

namespace kvferry::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

template <typename F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(Ids, a_list_keeps_its_order) {
  EXPECT_THAT(parse_id_list("0-3,12,7"), ElementsAre(0, 1, 2, 3, 12, 7));
  EXPECT_THAT(parse_id_list("4294967295"), ElementsAre(4294967295u));
  EXPECT_THAT(parse_id_list("5-5"), ElementsAre(5));
}

TEST(Ids, the_bad_piece_is_quoted) {
  EXPECT_THAT(error_of([] { parse_id_list("0-7,x,40"); }), HasSubstr("\"x\""));
  EXPECT_THAT(error_of([] { parse_id_list("0,9-3"); }),
              AllOf(HasSubstr("\"9-3\""), HasSubstr("backwards")));
  EXPECT_THAT(error_of([] { parse_id_list("0,,1"); }), HasSubstr("\"\""));
  EXPECT_THAT(error_of([] { parse_id_list("1,"); }), HasSubstr("\"\""));
  EXPECT_THAT(error_of([] { parse_id_list(""); }), HasSubstr("\"\""));
  for (const char* bad : {"-1", "1-", "1-2-3", "1 ,2", "0x1", "1.5", "+1"}) {
    EXPECT_THAT(error_of([&] { parse_id_list(bad); }), HasSubstr("not a block id")) << bad;
  }
}

TEST(Ids, what_no_pool_holds_is_too_large) {
  EXPECT_THAT(error_of([] { parse_id_list("4294967296"); }), HasSubstr("is too large"));
  EXPECT_THAT(error_of([] { parse_blocks("0-9999999999", 5242); }),
              AllOf(HasSubstr("\"0-9999999999\" is too large"), HasSubstr("highest id is 5241")));
}

TEST(Ids, a_range_cannot_eat_the_memory) {
  EXPECT_THAT(error_of([] { parse_id_list("0-4294967295"); }), HasSubstr("longer than"));
  EXPECT_THAT(error_of([] { parse_id_list("0-16777215,0"); }), HasSubstr("\"0\""));
}

TEST(Ids, control_characters_do_not_reach_the_terminal) {
  EXPECT_THAT(error_of([] { parse_id_list("\x1b[2J"); }), HasSubstr("\"\\x1b[2J\""));
}

TEST(Ids, choices) {
  EXPECT_EQ(parse_blocks("first").kind, IdChoice::Kind::first);
  EXPECT_EQ(parse_into("same").kind, IdChoice::Kind::same);
  EXPECT_EQ(parse_blocks("scattered").seed, 0u);
  EXPECT_EQ(parse_into("scattered:18446744073709551615").seed, UINT64_MAX);
  EXPECT_THAT(parse_blocks("0-1").ids, ElementsAre(0, 1));
}

TEST(Ids, wrong_choices_are_quoted) {
  EXPECT_THAT(error_of([] { parse_blocks("same"); }), HasSubstr("\"same\" is not first"));
  EXPECT_THAT(error_of([] { parse_into("first"); }), HasSubstr("\"first\" is not same"));
  for (const char* bad : {"scattered:", "scattered:x", "scattered:-1", "scatteredy",
                          "scattered:18446744073709551616"}) {
    EXPECT_THAT(error_of([&] { parse_blocks(bad); }), HasSubstr("scattered:SEED")) << bad;
  }
}

TEST(Ids, layer_ranges) {
  EXPECT_EQ(parse_layer_range("0:20").begin, 0u);
  EXPECT_EQ(parse_layer_range("3:4").end, 4u);
  for (const char* bad : {"", ":", "1:", ":1", "2:2", "3:2", "a:b", "1-2", "1:2:3", "-1:2"}) {
    EXPECT_THAT(error_of([&] { parse_layer_range(bad); }), HasSubstr("not a range of layers"))
        << bad;
  }
}

TEST(Ids, scattered_ids_are_a_shuffle_and_the_same_everywhere) {
  // Made by an independent model of the documented procedure.
  EXPECT_THAT(scattered_ids(1, 10, 5), ElementsAre(8, 7, 4, 0, 2));
  std::vector<std::uint32_t> all = scattered_ids(7, 1000, 1000);
  std::vector<std::uint32_t> wanted(1000);
  std::iota(wanted.begin(), wanted.end(), 0u);
  EXPECT_NE(all, wanted);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, wanted);
}

TEST(Ids, fewer_scattered_ids_are_a_prefix_of_more) {
  const auto few = scattered_ids(3, 500, 20), more = scattered_ids(3, 500, 40);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), more.begin()));
  EXPECT_NE(few, scattered_ids(4, 500, 20));
}

TEST(Ids, a_huge_pool_costs_no_memory) {
  for (const std::uint32_t id : scattered_ids(1, UINT32_MAX, 100)) EXPECT_LT(id, UINT32_MAX);
}

TEST(Ids, how_many_blocks) {
  const IdChoice first = parse_blocks("first"), same = parse_into("same");
  const IdChoice three = parse_blocks("5,6,9");
  EXPECT_EQ(wanted_blocks(first, same, 64, false), 64u);
  EXPECT_EQ(wanted_blocks(three, same, 64, false), 3u);
  EXPECT_EQ(wanted_blocks(first, three, 64, false), 3u);
  EXPECT_EQ(wanted_blocks(three, same, 3, true), 3u);
  EXPECT_THAT(error_of([&] { wanted_blocks(three, same, 64, true); }),
              AllOf(HasSubstr("3 ids"), HasSubstr("64 blocks")));
  EXPECT_THAT(error_of([&] { wanted_blocks(three, parse_into("1,2"), 64, false); }),
              AllOf(HasSubstr("names 3"), HasSubstr("names 2")));
}

IdLists pull_ids(const char* blocks, const char* into, std::uint64_t count, PoolSizes pools) {
  return resolve_ids(parse_blocks(blocks), parse_into(into), count, pools, Direction::pull);
}

TEST(Ids, resolved_lists) {
  EXPECT_THAT(pull_ids("first", "same", 3, {4, 4}).local, ElementsAre(0, 1, 2));
  const IdLists lists = pull_ids("3,1", "0-1", 2, {4, 2});
  EXPECT_THAT(lists.remote, ElementsAre(3, 1));
  EXPECT_THAT(lists.local, ElementsAre(0, 1));
  EXPECT_EQ(pull_ids("scattered:1", "same", 4, {9, 9}).local, scattered_ids(1, 9, 4));
}

TEST(Ids, what_does_not_fit_is_named) {
  EXPECT_THAT(error_of([] { pull_ids("first", "same", 5, {4, 9}); }),
              AllOf(HasSubstr("needs 5 blocks"), HasSubstr("the remote pool has 4")));
  EXPECT_THAT(error_of([] { pull_ids("first", "scattered", 5, {9, 4}); }),
              AllOf(HasSubstr("needs 5 blocks"), HasSubstr("the local pool has 4")));
  EXPECT_THAT(error_of([] { pull_ids("0,4", "same", 2, {4, 9}); }),
              AllOf(HasSubstr("remote id 4 (place 1"), HasSubstr("4 blocks")));
  EXPECT_THAT(error_of([] { pull_ids("0,8", "same", 2, {9, 4}); }), HasSubstr("local id 8"));
}

TEST(Ids, only_a_target_must_not_come_twice) {
  EXPECT_THAT(pull_ids("2,2", "0,1", 2, {4, 4}).remote, ElementsAre(2, 2));
  EXPECT_THAT(error_of([] { pull_ids("0,1", "2,2", 2, {4, 4}); }),
              HasSubstr("local id 2 comes twice"));
  EXPECT_THAT(error_of([] {
                resolve_ids(parse_blocks("2,2"), parse_into("0,1"), 2, {4, 4}, Direction::push);
              }),
              HasSubstr("remote id 2 comes twice"));
}

}  // namespace
}  // namespace kvferry::cli
