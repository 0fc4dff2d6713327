#include "plan/links.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "kvferry/error.hpp"
#include "path/cuda_ipc/choose.hpp"
#include "plan/lists.hpp"
#include "plan/predict.hpp"

namespace kvferry::cli::planning {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const Link& link(std::string_view name) {
  for (const Link& l : all_links()) {
    if (l.name == name) return l;
  }
  throw std::out_of_range(std::string(name));
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

std::vector<std::string> names(const std::vector<Link>& links) {
  std::vector<std::string> out;
  for (const Link& l : links) out.push_back(l.name);
  return out;
}

TEST(Links, are_named_by_lists) {
  EXPECT_THAT(names(parse_links("nvlink,pcie5,100gbe")), ElementsAre("nvlink4", "pcie5", "100gbe"));
  EXPECT_EQ(parse_links("all").size(), all_links().size());
  EXPECT_THAT(error_of([] { parse_links("pcie5,token-ring"); }),
              AllOf(HasSubstr("--link"), HasSubstr("\"token-ring\""), HasSubstr("ndr400")));
  EXPECT_THAT(error_of([] { parse_links("pcie5,"); }), HasSubstr("\"\" is no link"));
  EXPECT_THAT(error_of([] { parse_links("nvlink,nvlink4"); }), HasSubstr("nvlink4 is there twice"));
  EXPECT_THAT(error_of([] { parse_links("NVLINK"); }), HasSubstr("no link"));
}

TEST(Links, say_where_each_constant_comes_from) {
  for (const Link& l : all_links()) {
    SCOPED_TRACE(l.name);
    EXPECT_GT(l.gb_per_s, 0);
    EXPECT_FALSE(l.source.empty());
    if (l.rate_basis == Basis::measured) {
      EXPECT_THAT(l.source, HasSubstr("Measured"));
      EXPECT_EQ(l.start_basis, Basis::measured);
      EXPECT_EQ(l.efficiency, 0);
      continue;
    }
    EXPECT_EQ(l.rate_basis, Basis::data_sheet);
    EXPECT_EQ(l.start_basis, Basis::assumed);
    EXPECT_THAT(l.source, HasSubstr("assumed"));
    EXPECT_DOUBLE_EQ(l.gb_per_s, l.sheet_gb_per_s * l.efficiency);
    EXPECT_LE(l.efficiency, 1);
  }
}

TEST(Links, have_the_rates_of_their_data_sheets) {
  EXPECT_EQ(link("nvlink5").sheet_gb_per_s, 900);
  EXPECT_EQ(link("nvlink3").sheet_gb_per_s, 300);
  EXPECT_NEAR(link("pcie4").sheet_gb_per_s, 31.5, 0.02);
  EXPECT_EQ(link("ndr400").sheet_gb_per_s, 50);
  EXPECT_EQ(link("hdr200").sheet_gb_per_s, 25);
  EXPECT_EQ(link("400gbe").sheet_gb_per_s, 50);
  EXPECT_EQ(link("25gbe").sheet_gb_per_s, 3.125);
  EXPECT_NEAR(link("nvlink5").gb_per_s, 740, 0.1);  // 900 x 370 / 450
  EXPECT_NEAR(link("10gbe").gb_per_s, 1.177, 0.001);
}

// The links that choose() knows are described twice, here for people; the two must agree.
TEST(Links, agree_with_the_model_that_chooses_the_copy_method) {
  const auto expect_near = [](std::string_view name, path::Link kind, std::uint32_t blocks) {
    path::ChooseInput in;
    in.row_bytes = 65536;
    in.blocks = blocks;
    in.planes = 40;
    in.engine_copies = blocks;
    in.link = kind;
    in.copy = CopyMethod::kernel;
    const double ours = fused_seconds(link(name), in.bytes()) * 1e6;
    EXPECT_NEAR(ours / path::choose(in).expected_us, 1, 0.1) << name << ' ' << blocks;
  };
  for (const std::uint32_t blocks : {1u, 64u, 1024u}) {
    expect_near("nvlink4", path::Link::peer, blocks);
    expect_near("same-gpu", path::Link::same_gpu, blocks);
    expect_near("pcie5", path::Link::host, blocks);
  }
}

TEST(CustomLink, takes_numbers_within_bounds) {
  const Link custom = custom_link("45.5", "20");
  EXPECT_EQ(custom.gb_per_s, 45.5);
  EXPECT_EQ(custom.start_us, 20);
  EXPECT_EQ(custom.rate_basis, Basis::option);
  EXPECT_EQ(custom.start_basis, Basis::option);
  EXPECT_EQ(custom_link("1", "").start_basis, Basis::assumed);
  for (const char* bad : {"", "0", "-1", "inf", "nan", "1e3", "0x10", "4 ", "1000001", "4,5"}) {
    EXPECT_THAT(error_of([&] { custom_link(bad, ""); }), HasSubstr("--gb-per-s")) << bad;
  }
  EXPECT_THAT(error_of([] { custom_link("1", "-3"); }), HasSubstr("--start-us: \"-3\""));
}

TEST(Tokens, are_lists_within_bounds) {
  EXPECT_THAT(parse_tokens("1024,8192,131072"), ElementsAre(1024, 8192, 131072));
  EXPECT_THAT(parse_tokens("1099511627776"), ElementsAre(std::uint64_t{1} << 40));
  for (const char* bad :
       {"0", "1,", ",1", "1;2", "-1", "1099511627777", "010", "99999999999999999999", "5,5",
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}) {
    EXPECT_THAT(error_of([&] { parse_tokens(bad); }), HasSubstr("--tokens: ")) << bad;
  }
}

}  // namespace
}  // namespace kvferry::cli::planning
