#include "path/tcp/stream.hpp"

#include <algorithm>
#include <asio/post.hpp>

#include "base/scope_exit.hpp"
#include "path/tcp/crc32c.hpp"

namespace kvferry::path::tcp {
namespace {

// A turn of one direction of one stream; then the others of its thread have theirs. At 7 GB/s a
// turn takes 0.3 ms.
constexpr std::uint64_t kTurnBytes = 2u << 20;
// In the middle of a chunk, less than a segment of the loopback is not worth waking up for.
constexpr std::size_t kWakeBytes = 64u << 10;
constexpr std::size_t kScrapBytes = 64u << 10;

}  // namespace

Stream::Stream(NetThreads::Place place, std::unique_ptr<WireSocket> wire,
               std::shared_ptr<StreamOwner> owner)
    : place_(std::move(place)),
      wire_(std::move(wire)),
      owner_(std::move(owner)),
      socket_(place_.io(), wire_->fd()),
      later_(place_.io()) {}

Stream::~Stream() {
  if (wire_) shut();
}

void Stream::start() {
  asio::post(place_.io(), [self = shared_from_this()] { self->pump_receive(); });
}

void Stream::kick() {
  asio::post(place_.io(), [self = shared_from_this()] {
    if (!self->sending_) self->pump_send();
    if (std::exchange(self->no_room_, false)) self->pump_receive();
  });
}

void Stream::close(std::string why) {
  asio::post(place_.io(), [self = shared_from_this(), why = std::move(why)] { self->broke(why); });
}

void Stream::close_if_sending_after(std::shared_ptr<Outgoing> transfer,
                                    std::chrono::milliseconds time) {
  asio::post(place_.io(), [self = shared_from_this(), transfer = std::move(transfer), time] {
    if (self->out_.of != transfer) return;
    auto timer = std::make_shared<asio::steady_timer>(self->place_.io(), time);
    timer->async_wait([self, transfer, timer](std::error_code) {
      if (self->out_.of == transfer)
        self->broke("a transfer was stopped and its last chunk did not get through in time");
    });
  });
}

// ---- out ----

void Stream::pump_send() {
  sending_ = false;
  if (!owner_) return;
  try {
    for (std::uint64_t moved = 0; moved < kTurnBytes;) {
      if (!out_.of && !begin_send()) {
        if (!wire_->flush()) wait_to_send();
        return;
      }
      const std::uint64_t before = out_left_;
      if (!send_some()) return wait_to_send();
      moved += before - out_left_;
      if (out_left_ > 0) continue;
      OutChunk done = std::exchange(out_, {});
      done.of->finished(done, true);
    }
  } catch (const std::exception& error) {
    return broke(error.what());
  }
  sending_ = true;
  asio::post(place_.io(), [self = shared_from_this()] { self->pump_send(); });
}

bool Stream::begin_send() {
  auto when = Clock::time_point::max();
  if (!owner_->take(*this, out_, when)) {
    if (when != Clock::time_point::max()) ask_again_at(when);
    return false;
  }
  const Outgoing::Setup& transfer = out_.of->setup();
  ChunkHeader header;
  header.request = transfer.request;
  header.answers = transfer.answers;
  header.checked = transfer.checked;
  header.offset = out_.offset;
  header.bytes = out_.bytes;
  if (transfer.checked) header.crc32c = checksum_of(out_.pieces);
  out_header_ = format_chunk(header);
  out_header_sent_ = 0;
  out_left_ = out_.bytes;
  return true;
}

bool Stream::send_some() {
  std::array<iovec, PieceBatch::kMost + 1> pieces;
  std::size_t count = 0;
  std::uint64_t asked = 0;
  const std::size_t header = kChunkHeaderBytes - out_header_sent_;
  if (header > 0) pieces[count++] = {out_header_.data() + out_header_sent_, header};
  for (const iovec& piece : out_.pieces.fill()) {
    pieces[count++] = piece;
    asked += piece.iov_len;
  }
  const std::size_t sent = wire_->send({pieces.data(), count});
  if (sent == 0) return false;
  const std::size_t of_header = std::min(sent, header);
  out_header_sent_ += of_header;
  out_.pieces.consume(sent - of_header);
  out_left_ -= sent - of_header;
  // Less than asked for: the buffer is full, and asking again at once would only hear so.
  return sent == header + asked;
}

void Stream::ask_again_at(Clock::time_point when) {
  later_.expires_at(when);
  later_.async_wait([self = shared_from_this()](std::error_code stopped) {
    if (!stopped && !self->sending_) self->pump_send();
  });
}

void Stream::wait_to_send() {
  sending_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](std::error_code stopped) {
                       if (!stopped) self->pump_send();
                     });
}

// ---- in ----

void Stream::pump_receive() {
  if (!owner_) return;
  try {
    for (std::uint64_t moved = 0; moved < kTurnBytes;) {
      if (in_header_got_ == kChunkHeaderBytes && !in_chunk_ && !begin_receive()) return;
      if (!receive_some(moved)) return wait_to_receive();
      if (no_room_) return;
    }
  } catch (const std::exception& error) {
    return broke(error.what());
  }
  asio::post(place_.io(), [self = shared_from_this()] { self->pump_receive(); });
}

// False: it waits for room.
bool Stream::begin_receive() {
  in_.header = parse_chunk(in_header_);
  const auto incoming = owner_->incoming_for(in_.header);
  in_.of = incoming;
  if (incoming && !incoming->begin(in_)) {
    in_.of = nullptr;
    no_room_ = true;
    return false;
  }
  in_.left = in_.header.bytes;
  in_.crc32c = 0;
  in_chunk_ = true;
  in_header_got_ = 0;
  return true;
}

// Pieces for the rest of the chunk, as far as they fit, and behind it the next header.
std::size_t Stream::gather(std::array<iovec, PieceBatch::kMost + 1>& pieces, bool write) {
  std::size_t count = 0;
  std::uint64_t asked = 0;
  if (in_chunk_ && write) {
    for (const iovec& piece : in_.pieces.fill()) {
      pieces[count++] = piece;
      asked += piece.iov_len;
    }
  } else if (in_chunk_) {
    if (scrap_.empty()) scrap_.resize(kScrapBytes);
    asked = std::min<std::uint64_t>(in_.left, kScrapBytes);
    pieces[count++] = {scrap_.data(), asked};
  }
  if (!in_chunk_ || asked == in_.left)
    pieces[count++] = {in_header_.data() + in_header_got_, kChunkHeaderBytes - in_header_got_};
  return count;
}

bool Stream::receive_some(std::uint64_t& moved) {
  auto enter = Incoming::Enter::drop;
  if (in_chunk_ && in_.of) enter = in_.of->enter([self = shared_from_this()] { self->kick(); });
  if (enter == Incoming::Enter::wait) {
    no_room_ = true;
    return true;
  }
  const bool write = enter == Incoming::Enter::write;
  if (in_.of && !write) {
    // It was stopped: from here on its bytes go nowhere.
    in_.of = nullptr;
    in_.stage.reset();
  }
  std::uint64_t landed = 0;
  const ScopeExit leave([&] {
    if (write) in_.of->leave(landed);
    if (in_chunk_ && in_.left == 0) {
      in_chunk_ = false;
      if (in_.of) in_.of->end(in_);
      in_ = {};
    }
  });
  std::array<iovec, PieceBatch::kMost + 1> pieces;
  const std::size_t count = gather(pieces, write);
  std::uint64_t asked = 0;
  for (std::size_t i = 0; i < count; ++i) asked += pieces[i].iov_len;
  const std::size_t got = wire_->receive({pieces.data(), count});
  const std::uint64_t body = in_chunk_ ? std::min<std::uint64_t>(got, in_.left) : 0;
  if (write) {
    landed = body;
    took(body, pieces);
  }
  if (in_chunk_) in_.left -= body;
  in_header_got_ += got - body;
  moved += got;
  return got == asked;
}

void Stream::took(std::size_t bytes, const std::array<iovec, PieceBatch::kMost + 1>& pieces) {
  if (in_.header.checked) {
    std::size_t left = bytes;
    for (std::size_t i = 0; left > 0; ++i) {
      const std::size_t part = std::min(left, pieces[i].iov_len);
      in_.crc32c = crc32c({static_cast<const std::byte*>(pieces[i].iov_base), part}, in_.crc32c);
      left -= part;
    }
  }
  in_.pieces.consume(bytes);
}

void Stream::wait_to_receive() {
  wire_->expect(in_chunk_ ? std::min<std::size_t>(in_.left, kWakeBytes) : 1);
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](std::error_code stopped) {
                       if (!stopped) self->pump_receive();
                     });
}

// ---- the end ----

void Stream::broke(const std::string& why) noexcept {
  if (!owner_) return;
  const auto owner = std::exchange(owner_, nullptr);
  shut();
  if (out_.of) {
    OutChunk lost = std::exchange(out_, {});
    lost.of->finished(lost, false);
  }
  if (in_.of) in_.of->stop(ErrorCode::unreachable, why);
  in_ = {};
  owner->stream_broke(*this, why);
}

void Stream::shut() noexcept {
  later_.cancel();
  std::error_code ignored;
  socket_.cancel(ignored);
  (void)socket_.release();
  wire_.reset();
}

}  // namespace kvferry::path::tcp
