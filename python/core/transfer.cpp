#include "kvferry/transfer.hpp"

#include <algorithm>
#include <vector>

#include "bindings.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "kvferry/node.hpp"

namespace kvferry::python {
namespace {

using Clock = std::chrono::steady_clock;

// Not Owned: a transfer that has ended holds next to nothing, and one that runs is its peer's.
class PyTransfer {
 public:
  explicit PyTransfer(Transfer transfer) : transfer_(std::move(transfer)), forks_(forks()) {}
  PyTransfer(PyTransfer&&) = default;
  PyTransfer& operator=(PyTransfer&&) = delete;
  ~PyTransfer() {
    if (forks_ != forks()) [[maybe_unused]]
      const auto* left_alone = new Transfer(std::move(transfer_));
  }
  const Transfer& operator*() const {
    if (forks_ != forks()) refuse_inherited();
    return transfer_;
  }
  const Transfer* operator->() const { return &**this; }

 private:
  Transfer transfer_;
  int forks_;
};

// True when it has ended. In slices, so that Ctrl-C is heard.
bool wait(const PyTransfer& self, std::optional<double> timeout) {
  const Transfer& transfer = *self;
  if (!timeout) {
    while (!without_gil([&] { return transfer.wait_for(kSlice); })) check_signals();
    return true;
  }
  const auto until = Clock::now() + to_duration<std::chrono::nanoseconds>(*timeout, "timeout");
  for (;;) {
    const auto left = std::max(until - Clock::now(), Clock::duration::zero());
    const auto slice = std::min<Clock::duration>(left, kSlice);
    if (without_gil([&] { return transfer.wait_for(slice); })) return true;
    check_signals();
    if (slice == left) return false;
  }
}

nb::tuple to_python(const TransferReport& r) {
  return nb::make_tuple(r.path, r.method, r.bytes, r.blocks, r.layers, r.pieces, r.post_s, r.move_s,
                        r.sync_s, r.total_s);
}

std::uintptr_t address_of(const volatile std::uint32_t* word) {
  return reinterpret_cast<std::uintptr_t>(word);
}

// What the same posts and waits take without Python: seconds of each. For bench/python_overhead.py.
std::vector<double> time_posts(const PreparedTransfer& prepared, std::size_t count) {
  std::vector<double> seconds(count);
  for (double& took : seconds) {
    const auto start = Clock::now();
    prepared.post().wait();
    took = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return seconds;
}

}  // namespace

nb::object transfer_to_python(Transfer transfer) {
  return nb::cast(PyTransfer(std::move(transfer)));
}

namespace {
struct PyPrepared : Owned<PreparedTransfer> {
  using Owned::Owned;
};
}  // namespace

nb::object prepared_to_python(PreparedTransfer prepared) {
  return nb::cast(PyPrepared(std::move(prepared)));
}

void bind_transfer(nb::module_& m) {
  nb::class_<PyTransfer>(m, "Transfer")
      .def("wait", &wait, nb::arg("timeout").none())
      .def("state", [](const PyTransfer& t) { return to_string(t->poll()); })
      .def("done", [](const PyTransfer& t) { return t->poll() != TransferState::running; })
      // Of one that has ended: its report, or the error that it ended with.
      .def("result", [](const PyTransfer& t) { return to_python(t->wait()); })
      .def("report", [](const PyTransfer& t) { return to_python(t->report()); })
      .def("error", [](const PyTransfer& t) { return t->error(); })
      .def("cancel", [](const PyTransfer& t) { without_gil([&] { t->cancel(); }); })
      .def("notify",
           [](const PyTransfer& t, std::uint64_t tag) { return t->notify_completion(tag); })
      .def("status_word", [](const PyTransfer& t) { return address_of(t->status_word()); });
  nb::class_<PyPrepared>(m, "Prepared")
      .def("post",
           [](const PyPrepared& p) { return PyTransfer(without_gil([&] { return p->post(); })); })
      .def("capture",
           [](const PyPrepared& p, std::uintptr_t stream) {
             without_gil([&] { p->capture({reinterpret_cast<void*>(stream)}); });
           })
      .def("time_posts",
           [](const PyPrepared& p, std::size_t count) {
             return without_gil([&] { return time_posts(*p, count); });
           })
      .def("status_word", [](const PyPrepared& p) { return address_of(p->status_word()); });
  // The word itself, wherever its address came from; whoever asks keeps its owner.
  m.def("read_word", [](std::uintptr_t address) {
    return *reinterpret_cast<const volatile std::uint32_t*>(address);
  });
}

}  // namespace kvferry::python
