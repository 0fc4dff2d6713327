#include "path/tcp/greeting.hpp"

#include <algorithm>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <cstring>

#include "kvferry/error.hpp"
#include "path/tcp/crc32c.hpp"

namespace kvferry::path::tcp {
namespace {

constexpr std::string_view kMagic = "KVST";
constexpr std::size_t kFlagsAt = 4, kEpochAt = 8, kCongestionAt = 12, kCheckAt = 28;

void put(std::span<std::byte> to, std::size_t at, std::uint32_t value) noexcept {
  for (std::size_t i = 0; i < 4; ++i) to[at + i] = static_cast<std::byte>(value >> (8 * i));
}
std::uint32_t get(std::span<const std::byte> from, std::size_t at) noexcept {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value |= std::to_integer<std::uint32_t>(from[at + i]) << (8 * i);
  return value;
}

// One stream before it is one.
class Meeting : public std::enable_shared_from_this<Meeting> {
 public:
  Meeting(NetThreads::Place place, std::unique_ptr<WireSocket> wire, Greeted greeted)
      : place_(std::move(place)),
        wire_(std::move(wire)),
        greeted_(std::move(greeted)),
        socket_(place_.io(), wire_->fd()),
        timer_(place_.io()) {}
  ~Meeting() { let_go(); }
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  void begin(const Greeting* ours, std::chrono::milliseconds time) {
    if (ours != nullptr) expected_ = format_greeting(*ours);
    dialled_ = ours != nullptr;
    asio::post(place_.io(), [self = shared_from_this(), time] {
      self->timer_.expires_after(time);
      self->timer_.async_wait([self](std::error_code stopped) {
        if (!stopped) self->fail("the other side of a data stream said nothing in time");
      });
      try {
        if (self->dialled_) answer_greeting(*self->wire_, parse_greeting(self->expected_));
        self->read();
      } catch (const std::exception& error) {
        self->fail(error.what());
      }
    });
  }

 private:
  void read() {
    if (!wire_) return;
    try {
      while (got_ < kGreetingBytes) {
        const iovec piece{bytes_.data() + got_, kGreetingBytes - got_};
        const std::size_t more = wire_->receive({&piece, 1});
        got_ += more;
        if (more == 0) return wait();
      }
      const Greeting greeting = parse_greeting(bytes_);
      if (dialled_ && bytes_ != expected_)
        throw Error(ErrorCode::failed, "another greeting came back than was sent");
      auto wire = let_go();
      // What goes wrong with it from here on is told by `failed`, too.
      if (greeted_.done) greeted_.done(place_, std::move(wire), greeting);
      greeted_ = {};
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }
  void wait() {
    socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](std::error_code stopped) {
                         if (!stopped) self->read();
                       });
  }
  void fail(const std::string& why) {
    let_go();
    if (const auto failed = std::exchange(greeted_, {}).failed) failed(why);
  }
  std::unique_ptr<WireSocket> let_go() {
    if (wire_) {
      timer_.cancel();
      std::error_code ignored;
      socket_.cancel(ignored);
      (void)socket_.release();
    }
    return std::move(wire_);
  }

  const NetThreads::Place place_;
  std::unique_ptr<WireSocket> wire_;
  Greeted greeted_;
  asio::posix::stream_descriptor socket_;
  asio::steady_timer timer_;
  bool dialled_ = false;
  std::array<std::byte, kGreetingBytes> expected_{}, bytes_{};
  std::size_t got_ = 0;
};

}  // namespace

std::array<std::byte, kGreetingBytes> format_greeting(const Greeting& greeting) noexcept {
  std::array<std::byte, kGreetingBytes> bytes{};
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  put(bytes, kFlagsAt, greeting.for_acceptor ? 1 : 0);
  put(bytes, kEpochAt, greeting.epoch);
  std::memcpy(&bytes[kCongestionAt], greeting.congestion.data(),
              std::min(greeting.congestion.size(), kMaxCongestionBytes));
  put(bytes, kCheckAt, crc32c(std::span(bytes).first(kCheckAt)));
  return bytes;
}

Greeting parse_greeting(std::span<const std::byte, kGreetingBytes> bytes) {
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0 ||
      get(bytes, kCheckAt) != crc32c(bytes.first<kCheckAt>()) || get(bytes, kFlagsAt) > 1)
    throw Error(ErrorCode::failed, "a data stream that does not begin with kvferry's greeting");
  Greeting greeting;
  greeting.for_acceptor = get(bytes, kFlagsAt) == 1;
  greeting.epoch = get(bytes, kEpochAt);
  for (std::size_t i = kCongestionAt; i < kCheckAt && bytes[i] != std::byte{0}; ++i)
    greeting.congestion += std::to_integer<char>(bytes[i]);
  const bool clean =
      std::all_of(greeting.congestion.begin(), greeting.congestion.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
      });
  if (!clean || greeting.congestion.size() > kMaxCongestionBytes ||
      !std::ranges::equal(format_greeting(greeting), bytes))
    throw Error(ErrorCode::failed, "a data stream whose greeting breaks its own rules");
  return greeting;
}

void answer_greeting(WireSocket& wire, const Greeting& greeting) {
  auto bytes = format_greeting(greeting);
  const iovec piece{bytes.data(), bytes.size()};
  // Nothing has been sent on it: so few bytes always fit.
  if (wire.send({&piece, 1}) != bytes.size())
    throw Error(ErrorCode::unreachable, "a new data stream takes no bytes");
}

void greet(NetThreads::Place place, std::unique_ptr<WireSocket> wire, const Greeting& greeting,
           std::chrono::milliseconds time, Greeted greeted) {
  std::make_shared<Meeting>(std::move(place), std::move(wire), std::move(greeted))
      ->begin(&greeting, time);
}

void await_greeting(NetThreads::Place place, std::unique_ptr<WireSocket> wire,
                    std::chrono::milliseconds time, Greeted greeted) {
  std::make_shared<Meeting>(std::move(place), std::move(wire), std::move(greeted))
      ->begin(nullptr, time);
}

}  // namespace kvferry::path::tcp
