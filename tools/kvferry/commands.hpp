#pragma once

#include "context.hpp"
#include "options.hpp"

// One function a command. Each returns when its work is done and throws Error otherwise; main turns
// the code into the exit code.
namespace kvferry::cli {

void run_serve(const ServeOptions& options, Context& context);
void run_pull(const MoveOptions& options, Context& context);
void run_push(const MoveOptions& options, Context& context);
void run_explain(const ExplainOptions& options, Context& context);

}  // namespace kvferry::cli
