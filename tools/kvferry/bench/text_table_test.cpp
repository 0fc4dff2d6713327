#include "bench/text_table.hpp"

#include <gtest/gtest.h>

namespace kvferry::cli::bench {
namespace {

using Column = TextTable::Column;

TEST(TextTable, AlignsAndLeavesOutWhatIsEmpty) {
  TextTable table;
  table.column("what", Column::left);
  table.column("none", Column::left);
  table.column("n", Column::right);
  table.row({"a", "", "1"});
  table.line("between");
  table.row({"longer", "", "100"});
  EXPECT_EQ(table.text(1, 80),
            " what      n\n"
            " a         1\n"
            "between\n"
            " longer  100\n");
}

TEST(TextTable, CutsTheWidestColumnThatMayBeCut) {
  TextTable table;
  table.column("a", Column::shrinks);
  table.column("b", Column::left);
  table.row({std::string(50, 'x'), std::string(20, 'y')});
  table.row({"\xc3\xa9\xc3\xa9", "z"});
  EXPECT_EQ(table.text(0, 40), "a                   b\n" + std::string(16, 'x') + "..  " +
                                   std::string(20, 'y') +
                                   "\n\xc3\xa9\xc3\xa9                  z\n");
}

TEST(TextTable, DoesNotCutToNothing) {
  TextTable table;
  table.column("a", Column::shrinks);
  table.row({std::string(50, 'x')});
  EXPECT_EQ(table.text(0, 3), "a\n" + std::string(10, 'x') + "..\n");
}

TEST(Printable, NoControlCharacterGetsThrough) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\x7f"), "a [31mb c ");
  EXPECT_EQ(printable("caf\xc3\xa9 \xc2\x9b"
                      "31m"),
            "caf\xc3\xa9   31m");
  EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace kvferry::cli::bench
