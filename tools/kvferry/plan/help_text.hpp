#pragma once

namespace kvferry::cli::planning {

extern const char* const kText;
extern const char* const kFooter;

}  // namespace kvferry::cli::planning
