#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvferry::path::ucx {

// One way that UCX takes to a peer: a transport on a device.
struct Lane {
  std::string transport;   // "rc_mlx5", "tcp"
  std::string device;      // "mlx5_0:1", "eth0"
  bool one_sided = false;  // gets and puts go over it as they are
  friend bool operator==(const Lane&, const Lane&) = default;
};

// What UCX says of an endpoint (ucp_ep_print_info): the only account of its lanes that 1.13 and all
// later releases give. Lines that are not understood are left out.
std::vector<Lane> parse_lanes(std::string_view info);

// How gets and puts reach a peer.
struct Carriage {
  // The peer's network card carries them out. Otherwise UCX does, in software: messages ask the
  // peer's worker to copy, and nothing checks the keys or the addresses.
  bool rdma = false;
  std::string text;  // "rc_mlx5/mlx5_0:1"; "tcp/eth0, in software"
};
Carriage carriage_of(const std::vector<Lane>& lanes);

}  // namespace kvferry::path::ucx
