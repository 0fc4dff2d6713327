#include "peer.hpp"

#include "bindings.hpp"
#include "ids.hpp"

namespace kvferry::python {
namespace {

CopyMethod copy_method(std::string_view name) {
  for (const auto& [method, text] : {std::pair{CopyMethod::automatic, "auto"},
                                     {CopyMethod::kernel, "kernel"},
                                     {CopyMethod::engine, "engine"}})
    if (name == text) return method;
  throw Error(ErrorCode::invalid_argument,
              "copy is '" + std::string(name) + "'; give 'auto', 'kernel' or 'engine'");
}

TransferOptions make_options(std::uint32_t layers_begin, std::uint32_t layers_end,
                             std::optional<std::uintptr_t> stream, std::optional<double> deadline,
                             std::optional<std::string> notice, std::string remote_pool,
                             std::string path, bool allow_slow, const std::string& copy,
                             std::uint32_t max_sms) {
  TransferOptions options;
  options.layers = {layers_begin, layers_end};
  if (stream) options.stream = CudaStream{reinterpret_cast<void*>(*stream)};
  if (deadline) options.deadline = to_duration<std::chrono::nanoseconds>(*deadline, "deadline");
  options.notice = std::move(notice);
  options.remote_pool = std::move(remote_pool);
  options.path = std::move(path);
  options.allow_slow = allow_slow;
  options.copy = copy_method(copy);
  options.max_sms = max_sms;
  return options;
}

// Calls f with the ids, without the GIL.
template <typename F>
auto with_ids(nb::handle remote, nb::handle local, F f) {
  Ids remote_ids(remote, "remote_ids"), local_ids(local, "local_ids");
  return without_gil([&] { return f(remote_ids.get(), local_ids.get()); });
}

template <auto Call>
nb::object post(const PyPeer& self, nb::handle pool, nb::handle remote, nb::handle local,
                const TransferOptions& options) {
  const Peer& peer = *self;
  const Pool here = pool_from_python(pool);
  return transfer_to_python(with_ids(remote, local, [&](auto theirs, auto ours) {
    return (peer.*Call)(here, theirs, ours, options);
  }));
}

template <auto Call>
nb::object prepare(const PyPeer& self, nb::handle pool, nb::handle remote, nb::handle local,
                   const TransferOptions& options) {
  const Peer& peer = *self;
  const Pool here = pool_from_python(pool);
  return prepared_to_python(with_ids(remote, local, [&](auto theirs, auto ours) {
    return (peer.*Call)(here, theirs, ours, options);
  }));
}

nb::list pools_of(const PyPeer& self) {
  nb::list out;
  for (const RemotePool& p : self->pools())
    out.append(nb::make_tuple(p.name, p.tag, shape_to_python(p.shape), p.blocks, p.writable,
                              p.generation, p.device));
  return out;
}

nb::list explain(const PyPeer& self) {
  nb::list out;
  for (const PairExplanation& pair : without_gil([&] { return self->explain(); })) {
    nb::list verdicts;
    for (const PathVerdict& v : pair.verdicts)
      verdicts.append(nb::make_tuple(v.path, v.usable, v.slow, v.reason));
    out.append(nb::make_tuple(pair.local_pool, pair.remote_pool, pair.chosen, verdicts));
  }
  return out;
}

}  // namespace

void bind_peer(nb::module_& m) {
  nb::class_<TransferOptions>(m, "Options");
  m.def("options", &make_options, nb::arg("layers_begin") = 0, nb::arg("layers_end") = UINT32_MAX,
        nb::arg("stream").none() = nb::none(), nb::arg("deadline").none() = nb::none(),
        nb::arg("notice").none() = nb::none(), nb::arg("remote_pool") = "",
        nb::arg("path") = "auto", nb::arg("allow_slow") = false, nb::arg("copy") = "auto",
        nb::arg("max_sms") = 0);
  // Whatever is given as ids: Ids says what is wrong with it.
  const auto remote = nb::arg("remote_ids").none(), local = nb::arg("local_ids").none();
  const auto in = nb::arg("pool"), with = nb::arg("options");
  nb::class_<PyPeer>(m, "Peer")
      .def_prop_ro("name", [](const PyPeer& p) { return p->name(); })
      .def_prop_ro("alive", [](const PyPeer& p) { return p->alive(); })
      .def("pools", &pools_of)
      .def("explain", &explain)
      .def("close", [](const PyPeer& p) { without_gil([&] { p->close(); }); })
      .def("prepare",
           [](const PyPeer& p, nb::handle pool, const TransferOptions& options) {
             const Pool here = pool_from_python(pool);
             without_gil([&] { p->prepare(here, options); });
           })
      .def("pull", &post<&Peer::pull>, in, remote, local, with)
      .def("push", &post<&Peer::push>, in, remote, local, with)
      .def("prepare_pull", &prepare<&Peer::prepare_pull>, in, remote, local, with)
      .def("prepare_push", &prepare<&Peer::prepare_push>, in, remote, local, with);
}

}  // namespace kvferry::python
