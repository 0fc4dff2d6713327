#pragma once

namespace kvferry::cli::bench {

extern const char* const kBenchText;
extern const char* const kBenchFooter;

}  // namespace kvferry::cli::bench
