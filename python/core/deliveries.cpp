#include "deliveries.hpp"

#include <new>

#include "gil.hpp"

namespace kvferry::python {
namespace {

// Never destroyed: threads of the library may outlive static objects.
alignas(Deliveries) std::byte storage[sizeof(Deliveries)];

nb::tuple to_python(const Deliveries::Line& line) {
  return nb::make_tuple("log", line.node, static_cast<int>(line.level), line.text);
}

std::string_view name_of(PeerEvent::Kind kind) {
  switch (kind) {
    case PeerEvent::Kind::connected: return "connected";
    case PeerEvent::Kind::refused: return "refused";
    case PeerEvent::Kind::served: return "served";
    case PeerEvent::Kind::disconnected: return "disconnected";
  }
  return "unknown";
}

nb::tuple to_python(const Deliveries::Event& item) {
  const PeerEvent& e = item.event;
  return nb::make_tuple("event", item.node, name_of(e.kind), e.peer, e.message,
                        to_string(e.direction), e.pool, e.path, e.blocks, e.bytes, e.seconds);
}

}  // namespace

Deliveries& Deliveries::instance() {
  static auto* const deliveries = new (storage) Deliveries;
  return *deliveries;
}

void Deliveries::forget_in_child() {
  instance();
  new (storage) Deliveries;
}

void Deliveries::push(Item item) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    if (items_.size() >= kMostTexts) {
      ++dropped_;
      return;
    }
    items_.push_back(std::move(item));
  }
  wake_.notify_one();
}

void Deliveries::release(PyObject* object) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    released_.push_back(object);
  }
  wake_.notify_one();
}

std::vector<Deliveries::Item> Deliveries::take() {
  std::vector<Item> items;
  while (items.empty()) {
    std::vector<PyObject*> released;
    const bool stopped = without_gil([&] {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopped_ || !items_.empty() || !released_.empty(); });
      items.swap(items_);
      released.swap(released_);
      return stopped_;
    });
    for (PyObject* object : released) Py_DECREF(object);
    if (stopped) break;
  }
  return items;
}

std::size_t Deliveries::take_dropped() {
  std::lock_guard lock(mutex_);
  return std::exchange(dropped_, 0);
}

void Deliveries::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
}

std::shared_ptr<void> keep(nb::object object) {
  const auto drop = [](void* kept) {
    auto* const dropped = static_cast<PyObject*>(kept);
    // Here and now where that is safe: whoever drops a pool expects its memory back.
    if (gil_let_go > 0 && !gil_is_gone()) {
      const nb::gil_scoped_acquire acquire;
      Py_DECREF(dropped);
    } else {
      Deliveries::instance().release(dropped);
    }
  };
  return {object.release().ptr(), drop};
}

void bind_deliveries(nb::module_& m) {
  m.def("take_deliveries", [] {
    nb::list out;
    for (const auto& item : Deliveries::instance().take())
      out.append(std::visit([](const auto& i) { return to_python(i); }, item));
    return out;
  });
  m.def("dropped_deliveries", [] { return Deliveries::instance().take_dropped(); });
  m.def("stop_deliveries", [] { Deliveries::instance().stop(); });
  m.def("keep_gil_for_the_end", &keep_gil_for_the_end);
}

}  // namespace kvferry::python
