#include "geometry_table.hpp"

#include <gtest/gtest.h>

namespace kvferry::cli {
namespace {

TEST(GeometryTable, names_the_option_where_it_is_called_differently) {
  EXPECT_EQ(with_option_names("no\nfield     ours  theirs\nlayers    40    3\nkv_heads  8     16"),
            "no\n"
            "field               ours  theirs\n"
            "layers              40    3\n"
            "kv_heads (--heads)  8     16");
  EXPECT_EQ(with_option_names("no\nfield  ours  theirs\nkv.head_dim  1  2"),
            "no\n"
            "field                 ours  theirs\n"
            "kv.head_dim (--dims)  1     2");
}

TEST(GeometryTable, names_the_option_of_a_field_that_is_complained_of) {
  EXPECT_EQ(with_option_names("kv_heads is 0; it must be"), "kv_heads (--heads) is 0; it must be");
  EXPECT_EQ(with_option_names("layers is 0"), "layers is 0");
  EXPECT_EQ(with_option_names(""), "");
}

TEST(GeometryTable, leaves_other_text_alone) {
  EXPECT_EQ(with_option_names("no such pool"), "no such pool");
  EXPECT_EQ(with_option_names("no\nfield of words that is no table"),
            "no\nfield of words that is no table");
  EXPECT_FALSE(has_geometry_table("field ours theirs"));
  EXPECT_TRUE(has_geometry_table("x\nfield ours theirs"));
}

}  // namespace
}  // namespace kvferry::cli
