#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "path/tcp/net_threads.hpp"
#include "path/tcp/wire_socket.hpp"

namespace kvferry::path::tcp {

// The first 32 bytes of a data stream, from the side that dialled; the other side sends them back
// once it has taken the stream.
struct Greeting {
  // Whose requests it is for: the dialler's, or those of the side that was dialled.
  bool for_acceptor = false;
  // The requester's count of its sets of streams: those of one set live and die together.
  std::uint32_t epoch = 0;
  std::string congestion{};  // what the dialler was told to use; at most 15 bytes, may be empty
  friend bool operator==(const Greeting&, const Greeting&) = default;
};
inline constexpr std::size_t kGreetingBytes = 32;
inline constexpr std::size_t kMaxCongestionBytes = 15;

// Requires: congestion has at most kMaxCongestionBytes.
std::array<std::byte, kGreetingBytes> format_greeting(const Greeting& greeting) noexcept;
// Throws: Error{failed} for bytes that are none.
Greeting parse_greeting(std::span<const std::byte, kGreetingBytes> bytes);

// Ends in exactly one of the two: the stream, its greeting and the place it has had so far and best
// keeps, or why there is none.
struct Greeted {
  std::function<void(NetThreads::Place, std::unique_ptr<WireSocket>, const Greeting&)> done;
  std::function<void(const std::string& why)> failed;
};
// Greets a stream that we dialled and waits for the answer, or waits for a greeting (whose answer
// is the caller's to send, by answer_greeting). On a network thread; at most so long.
void greet(NetThreads::Place place, std::unique_ptr<WireSocket> wire, const Greeting& greeting,
           std::chrono::milliseconds time, Greeted greeted);
void await_greeting(NetThreads::Place place, std::unique_ptr<WireSocket> wire,
                    std::chrono::milliseconds time, Greeted greeted);
// Throws: Error{unreachable}.
void answer_greeting(WireSocket& wire, const Greeting& greeting);

}  // namespace kvferry::path::tcp
