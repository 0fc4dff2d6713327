#include "log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>

namespace kvferry::cli {

std::function<void(LogLevel, std::string_view)> make_log(bool debug) {
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("kvferry", std::move(sink));
  // In detail with times; else a warning looks like serve's lines: what it is, then the text.
  logger->set_pattern(debug ? "%H:%M:%S.%f %^%l%$ %v" : "%^%-12l%$  %v");
  logger->set_level(debug ? spdlog::level::debug : spdlog::level::warn);
  return [logger = std::move(logger)](LogLevel level, std::string_view text) {
    constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                     spdlog::level::warn, spdlog::level::err};
    logger->log(kLevels[static_cast<std::size_t>(level) & 3], text);
  };
}

}  // namespace kvferry::cli
