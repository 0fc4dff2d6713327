#pragma once

#include <string>

// The prose of --help, apart from the options' own lines.
namespace kvferry::cli {

extern const char* const kRootText;
extern const char* const kRootFooter;
extern const char* const kServeText;
extern const char* const kServeFooter;
extern const char* const kPullText;
extern const char* const kPullFooter;
extern const char* const kPushText;
extern const char* const kPushFooter;
extern const char* const kExplainText;
extern const char* const kExplainFooter;
extern const char* const kCompletionText;
extern const char* const kCompletionFooter;

// "kvferry 0.1.0" and what the build can do.
std::string version_text();

}  // namespace kvferry::cli
