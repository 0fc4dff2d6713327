#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kvferry/registry.hpp"
#include "registry/store.hpp"

namespace kvferry::detail {

// Keeps one entry alive. Its thread is the only user of its store after the constructor.
class Announcer {
 public:
  struct Setup {
    std::string name;
    std::vector<std::string> addresses;
    std::chrono::seconds time_to_live{5};
    // The entry's value now; `word` is what set_health() said, or empty.
    std::function<std::string(const std::string& word)> value;
    std::function<void(LogLevel, std::string_view)> log;
    // Pauses after a failure: the first, doubled up to the last.
    std::chrono::milliseconds first_pause{200}, last_pause{5000};
  };

  // Makes the entry, or throws as Registry::announce.
  Announcer(std::unique_ptr<registry::Store> store, Setup setup);
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  const Setup& setup() const noexcept { return setup_; }
  bool registered() const noexcept { return registered_; }
  void set_health(std::string_view word);

 private:
  void register_first();
  // Throws: Error{refused} once the holder of the name has shown that it lives. True: its entry may
  // be gone now.
  bool holder_is_gone(const registry::Entry& holder);
  // One attempt to have the entry; returns the other's where the name is taken.
  std::optional<registry::Entry> claim();
  void run();
  void renew();
  void lost(const std::string& why);
  void found();
  // True when the time is up, false to stop or (then due_ is set) to write at once.
  void pause(std::chrono::milliseconds time);
  std::chrono::milliseconds renewal() const;
  void log(LogLevel level, const std::string& text) const;

  std::unique_ptr<registry::Store> store_;
  const Setup setup_;
  std::optional<registry::Lease> lease_;  // the thread's, once it runs
  std::chrono::milliseconds pause_{};     // after the next failure
  std::string complaint_;                 // what was last said to be wrong; empty: all is well
  std::atomic<bool> registered_{false};

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false, due_ = false;
  std::string health_;
  std::thread thread_;
};

}  // namespace kvferry::detail
