#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <variant>

#include "path/tcp/data_link.hpp"
#include "path/tcp/tcp_route.hpp"

// For tests of the engine: two links in one process, with sockets over loopback between them, and a
// thread that carries the messages, in the place of two nodes.
namespace kvferry::path::tcp::test {

inline std::pair<UniqueFd, UniqueFd> loopback_pair() {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(listener.get(), any, bytes), 0);
  EXPECT_EQ(::listen(listener.get(), 8), 0);
  ::getsockname(listener.get(), any, &bytes);
  UniqueFd a(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(a.get(), any, bytes), 0);
  UniqueFd b(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return {std::move(a), std::move(b)};
}

class Links {
 public:
  // `pool`: what the second link's side serves.
  explicit Links(std::shared_ptr<detail::PoolImpl> pool, unsigned threads = 2)
      : pool_(std::move(pool)), threads_(std::make_shared<NetThreads>(threads)) {
    for (int side = 0; side < 2; ++side) {
      auto control = std::make_shared<Control>();
      control->links = this;
      control->side = side;
      controls_[side] = control;
      DataLink::Setup setup;
      setup.threads = threads_;
      setup.stages = stages_;
      setup.control = control;
      links_[side] = std::make_shared<DataLink>(std::move(setup));
    }
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Links() {
    for (auto& link : links_) link->close("the test is over");
    work_.reset();
    thread_.join();
    threads_->stop();
  }

  DataLink& requester() { return *links_[0]; }
  DataLink& owner() { return *links_[1]; }
  // A stream for the owner, as if greeted.
  void adopt(std::unique_ptr<WireSocket> wire, const Greeting& greeting) {
    owner().adopt(threads_->place(), std::move(wire), greeting, false);
  }
  std::shared_ptr<DataLink> requester_link() { return links_[0]; }
  // Messages are lost from now on, as by a stopped owner.
  void mute() { muted_ = true; }
  void unmute() { muted_ = false; }
  std::atomic<int> cancels{0};
  // Called before each request of the requester's is carried.
  std::function<void()> before_request;
  // As by a network that is gone, seen from both sides.
  void break_streams() {
    for (const int fd : std::exchange(fds_, {})) ::shutdown(fd, SHUT_RDWR);
  }

  RemoteEnd remote() {
    RemoteEnd end;
    end.offer.pool = 1;
    end.offer.generation = 1;
    end.shape = pool_->shape;
    end.blocks = pool_->blocks;
    end.writable = pool_->options.writable;
    end.data = links_[0];
    end.over_network = true;
    return end;
  }
  std::atomic<int> holds{0};

 private:
  struct Control final : LinkControl {
    Links* links = nullptr;
    int side = 0;
    void say(wire::Message message) override {
      if (std::holds_alternative<wire::MoveRequest>(message) && links->before_request)
        links->before_request();
      links->carry(1 - side, std::move(message));
    }
    void open_streams(unsigned count, std::uint32_t epoch, std::uint32_t round) override {
      links->open(count, epoch, round);
    }
    void hear_first(std::function<void()> then) override {
      asio::post(links->io_, std::move(then));
    }
    std::string why_no_streams(std::chrono::steady_clock::time_point) const override { return {}; }
  };

  void carry(int to, wire::Message message) {
    asio::post(io_, [this, to, message = std::move(message)]() mutable {
      if (std::holds_alternative<wire::MoveCancel>(message)) ++cancels;
      if (!muted_) deliver(*links_[to], message);
    });
  }
  void deliver(DataLink& link, wire::Message& message) {
    if (auto* request = std::get_if<wire::MoveRequest>(&message)) {
      ++holds;
      link.serve(std::move(*request), pool_,
                 std::shared_ptr<void>(nullptr, [this](void*) { --holds; }));
    } else if (auto* runs = std::get_if<wire::MoveRuns>(&message)) {
      link.on(*runs);
    } else if (auto* cancel = std::get_if<wire::MoveCancel>(&message)) {
      link.on(*cancel);
    } else if (auto* ready = std::get_if<wire::MoveReady>(&message)) {
      link.on(*ready);
    } else if (auto* end = std::get_if<wire::MoveEnd>(&message)) {
      link.on(*end);
    }
  }
  // As two nodes do: each stream is greeted, and taken by the owner first.
  void open(unsigned count, std::uint32_t epoch, std::uint32_t round) {
    left_ = count;
    for (unsigned i = 0; i < count; ++i) {
      auto [a, b] = loopback_pair();
      fds_.push_back(a.get());
      await_greeting(threads_->place(), plain_wire(std::move(b)), std::chrono::seconds(5),
                     {[this](auto place, auto wire, const Greeting& greeting) {
                        links_[1]->adopt(std::move(place), std::move(wire), greeting, true);
                      },
                      [](const std::string& why) { ADD_FAILURE() << why; }});
      greet(threads_->place(), plain_wire(std::move(a)), {false, epoch, ""},
            std::chrono::seconds(5),
            {[this, round](auto place, auto wire, const Greeting& greeting) {
               links_[0]->adopt(std::move(place), std::move(wire), greeting, false);
               if (--left_ == 0) links_[0]->streams_opened(round);
             },
             [](const std::string& why) { ADD_FAILURE() << why; }});
    }
  }

  const std::shared_ptr<detail::PoolImpl> pool_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::atomic<bool> muted_{false};
  std::atomic<unsigned> left_{0};
  std::vector<int> fds_;  // of streams that are open
  std::shared_ptr<NetThreads> threads_;
  std::shared_ptr<StagePools> stages_ = make_stage_pools(threads_);
  std::shared_ptr<Control> controls_[2];
  std::shared_ptr<DataLink> links_[2];
  std::thread thread_;
};

}  // namespace kvferry::path::tcp::test
