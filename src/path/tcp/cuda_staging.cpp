#include <algorithm>
#include <deque>

#include "path/tcp/cuda_stages.hpp"

namespace kvferry::path::tcp {
namespace {

// Launching one takes some 10 us: whoever waits meanwhile for a chunk that is packed already should
// not wait for all that are to come.
constexpr int kLaunchesAtOnce = 4;

// Packs a few chunks ahead of what the streams take.
class GpuOutgoing final : public Outgoing {
 public:
  GpuOutgoing(Setup setup, std::shared_ptr<const PackedRows> rows,
              std::shared_ptr<detail::PoolImpl> pool, const StagingOptions& options)
      : Outgoing(std::move(setup)),
        rows_(std::move(rows)),
        pool_(std::move(pool)),
        options_(options),
        stages_(options.pools->of(pool_->device.ordinal)),
        // One on the wire for each stream, as many packed, and two being packed.
        ahead_(2 * std::size_t{options.streams != 0 ? options.streams : 2} + 2) {}

  bool is_staged() const noexcept override { return true; }

 protected:
  bool is_ready() override {
    top_up(kLaunchesAtOnce);
    return !packed_.empty() && packed_.front()->over;
  }
  void go_ahead() override { top_up(static_cast<int>(ahead_)); }
  std::optional<PieceBatch> pieces_of(std::uint64_t, std::uint32_t bytes,
                                      std::unique_ptr<Staged>& stage) override {
    const auto chunk = std::move(packed_.front());
    packed_.pop_front();
    if (!chunk->good) {
      stop_within("a GPU failed while it packed blocks");
      return std::nullopt;
    }
    PieceBatch pieces(chunk->stage->data(), bytes);
    stage = std::move(chunk->stage);
    top_up(kLaunchesAtOnce);
    return pieces;
  }
  // Copies that run still read the pool: they count as under way.
  void forget_ahead() noexcept override {
    while (!packed_.empty() && packed_.back()->over) packed_.pop_back();
    packed_.clear();
  }

 private:
  struct Chunk {
    std::unique_ptr<Stage> stage;
    std::atomic<bool> over{false};
    bool good = false;
  };

  void top_up(int most) {
    try {
      while (most-- > 0 && packed_.size() < ahead_ && next_ < setup().bytes && pack_next()) {
      }
    } catch (const std::exception& error) {
      stop_within(error.what());
    }
  }
  // False while there is no stage for it.
  bool pack_next() {
    auto stage = stages_->take(StageUse::outgoing, options_.holder, options_.kick);
    if (!stage) return false;
    auto chunk = std::make_shared<Chunk>();
    const std::uint64_t bytes = std::min<std::uint64_t>(setup().chunk_bytes, setup().bytes - next_);
    begin_ahead();
    try {
      // `chunk` lives, and its stage with it, until the kernel is done with both.
      stage->copy(*rows_, next_, bytes, true, options_.max_sms,
                  [chunk, self = shared_from_this(), this](bool good) {
                    chunk->good = good;
                    chunk->over = true;
                    end_ahead();
                    options_.packed();
                  });
    } catch (...) {
      end_ahead_within();
      throw;
    }
    chunk->stage = std::move(stage);
    packed_.push_back(std::move(chunk));
    next_ += bytes;
    return true;
  }

  const std::shared_ptr<const PackedRows> rows_;
  const std::shared_ptr<detail::PoolImpl> pool_;
  const StagingOptions options_;
  const std::shared_ptr<Stages> stages_;
  const std::size_t ahead_;
  std::uint64_t next_ = 0;
  std::deque<std::shared_ptr<Chunk>> packed_;
};

class GpuIncoming final : public Incoming {
 public:
  GpuIncoming(Setup setup, std::shared_ptr<const PackedRows> rows,
              std::shared_ptr<detail::PoolImpl> pool, const StagingOptions& options)
      : Incoming(std::move(setup)),
        rows_(std::move(rows)),
        pool_(std::move(pool)),
        options_(options),
        stages_(options.pools->of(pool_->device.ordinal)) {}

 protected:
  bool is_staged() const noexcept override { return true; }
  std::optional<PieceBatch> place_of(std::uint64_t, std::uint32_t bytes,
                                     std::unique_ptr<Staged>& stage) override {
    auto taken = stages_->take(StageUse::incoming, options_.holder, options_.kick);
    if (!taken) return std::nullopt;
    PieceBatch pieces(taken->data(), bytes);
    stage = std::move(taken);
    return pieces;
  }
  void unload(InChunk& chunk) noexcept override {
    std::shared_ptr<Stage> stage(static_cast<Stage*>(chunk.stage.release()));
    const std::uint64_t bytes = chunk.header.bytes;
    try {
      stage->copy(*rows_, chunk.header.offset, bytes, false, options_.max_sms,
                  [self = shared_from_this(), this, stage, bytes](bool good) mutable {
                    stage.reset();
                    if (!good) stop(ErrorCode::failed, "a GPU failed while blocks landed on it");
                    unloaded(good ? bytes : 0);
                  });
    } catch (const std::exception& error) {
      stop(ErrorCode::resource, error.what());
      unloaded(0);
    }
  }

 private:
  const std::shared_ptr<const PackedRows> rows_;
  const std::shared_ptr<detail::PoolImpl> pool_;
  const StagingOptions options_;
  const std::shared_ptr<Stages> stages_;
};

}  // namespace

std::shared_ptr<Outgoing> make_outgoing(Outgoing::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions& options) {
  if (pool->device.is_cuda())
    return std::make_shared<GpuOutgoing>(std::move(setup), std::move(rows), pool, options);
  return std::make_shared<HostOutgoing>(std::move(setup), std::move(rows), pool);
}

std::shared_ptr<Incoming> make_incoming(Incoming::Setup setup,
                                        std::shared_ptr<const PackedRows> rows,
                                        const std::shared_ptr<detail::PoolImpl>& pool,
                                        const StagingOptions& options) {
  if (pool->device.is_cuda())
    return std::make_shared<GpuIncoming>(std::move(setup), std::move(rows), pool, options);
  return std::make_shared<HostIncoming>(std::move(setup), std::move(rows), pool);
}

std::string describe_staging(const detail::PoolImpl& pool) {
  return pool.device.is_cuda() ? "staged" : "";
}

}  // namespace kvferry::path::tcp
