#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "kvferry/node.hpp"
#include "nanobind.hpp"

namespace kvferry::python {

// What the library's own threads have to say to Python, and the references that they drop. Those
// threads never take the GIL: a thread of Python's waits here and takes what has come. Thread-safe.
// One for the process; bounded: what comes beyond kMostTexts is dropped and counted.
class Deliveries {
 public:
  static constexpr std::size_t kMostTexts = 8192;

  struct Line {
    std::uint64_t node = 0;
    LogLevel level = LogLevel::info;
    std::string text;
  };
  struct Event {
    std::uint64_t node = 0;
    PeerEvent event;
  };
  using Item = std::variant<Line, Event>;

  static Deliveries& instance();
  // Whatever state the parent's other threads had left it in.
  static void forget_in_child();

  void push(Item item);
  // Drops a reference later, with the GIL. Any thread; needs no GIL.
  void release(PyObject* object);
  // Waits for items; nothing once stop() was called. Drops what is to be dropped before it returns.
  // Requires: the GIL, which it lets go of meanwhile.
  std::vector<Item> take();
  // How many were dropped since the last call.
  std::size_t take_dropped();
  void stop();

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> items_;
  std::vector<PyObject*> released_;
  std::size_t dropped_ = 0;
  bool stopped_ = false;
};

// Keeps a Python object alive: drops it with the GIL wherever the last copy goes. What goes after
// Python has ended stays.
std::shared_ptr<void> keep(nb::object object);

void bind_deliveries(nb::module_& m);

}  // namespace kvferry::python
