#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kvferry/error.hpp"
#include "kvferry/shape.hpp"
#include "kvferry/transfer.hpp"
#include "memory/pool_impl.hpp"
#include "wire/frame.hpp"
#include "wire/text.hpp"

// Control messages between two nodes, as values. docs/wire.md describes the bytes.
namespace kvferry::wire {

inline constexpr std::uint32_t kMaxPools = 256;
inline constexpr std::uint32_t kMaxGpus = 64;
inline constexpr std::uint32_t kMaxPaths = 32;
inline constexpr std::uint32_t kMaxFieldDiffs = 64;
inline constexpr std::uint32_t kMaxBlocks = 0x7FFF'FFFFu;
inline constexpr std::uint32_t kMaxPid = 0x7FFF'FFFFu;
inline constexpr std::uint32_t kMaxRegions = 4096;
inline constexpr std::uint32_t kMaxChunks = 65'536;   // of all regions of a pool
inline constexpr std::uint32_t kMaxPlanes = 131'072;  // 65,536 layers, K and V apart
inline constexpr std::uint64_t kMaxRegionBytes = 1ull << 47;
inline constexpr std::uint64_t kMaxPoolBytes = kMaxRegions * kMaxRegionBytes;
// Of one request. A million pieces on each side: longer lists are several transfers.
inline constexpr std::uint32_t kMaxRuns = 1u << 20;
inline constexpr std::uint32_t kMaxRunsPerFrame = 120'000;
inline constexpr std::uint32_t kMinChunkBytes = 64u << 10, kMaxChunkBytes = 2u << 20;
inline constexpr std::uint32_t kMaxStreams = 256;          // of one peer
inline constexpr std::uint64_t kMaxTimeLeft = 1ull << 52;  // microseconds: 142 years
inline constexpr std::uint32_t kMaxUcxAddressBytes = 64u << 10;
inline constexpr std::uint32_t kMaxUcxKeyBytes = 16u << 10;
inline constexpr std::size_t kMaxSocketPathBytes = 107;  // sockaddr_un, less its terminator

using Id = std::array<std::byte, 16>;
using Secret = std::array<std::byte, 32>;

// What a TCP listener wants before it says more than its signpost.
enum class Security : std::uint8_t { none = 0, token = 1, certificate = 2 };

// What a TCP listener says to whoever connects: where the Unix socket is and on which host, and how
// peers of other hosts may go on. Not authenticated: a claim.
struct Signpost {
  std::uint16_t protocol = kProtocolVersion;
  std::string software{};
  std::string socket_path{};  // absolute
  Id boot_id{};               // all zero where the kernel does not say
  Security security = Security::none;
  bool network = false;  // peers are admitted over this TCP port, too
  friend bool operator==(const Signpost&, const Signpost&) = default;
};

// A pool as a Hello announces it.
struct PoolInfo {
  std::uint32_t number = 0;  // the owner's, on this connection
  std::string name{};
  std::string tag{};
  CacheShape shape{};
  std::uint32_t blocks = 0;
  bool writable = false;
  std::uint64_t generation = 1;
  Device::Kind device = Device::Kind::host;
  memory::GpuUuid gpu{};  // zero exactly where device is host
  bool shareable = true;  // false: private host memory (process_vm_readv)
  friend bool operator==(const PoolInfo&, const PoolInfo&) = default;
};

// The first message of both sides.
struct Hello {
  std::uint16_t protocol_min = kOldestProtocolVersion;
  std::uint16_t protocol_max = kProtocolVersion;
  std::string software{};
  std::string node{};  // empty: it has no name but its pid
  std::uint32_t pid = 0;
  Id nonce{};    // random, one for each process: tells this process from any other. Not zero.
  Id boot_id{};  // all zero where the kernel does not say
  std::vector<std::string> paths{};
  std::vector<memory::GpuUuid> gpus{};  // those it can see
  std::vector<PoolInfo> pools{};        // names and numbers are unique
  friend bool operator==(const Hello&, const Hello&) = default;
};

// The last message before the sender closes: the two cannot work together.
struct Refusal {
  ErrorCode code = ErrorCode::refused;
  std::string message{};
  std::vector<FieldDiff> fields{};  // ours: the sender's
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

struct OpenPool {
  std::uint32_t request = 0;  // comes back in the answer
  std::uint32_t pool = 0;
  bool wants_write = false;
  friend bool operator==(const OpenPool&, const OpenPool&) = default;
};

// The answer: how to map the pool. Shape and blocks travel along so that every offset can be
// checked on arrival; check_grant() compares them with what the Hello said.
struct PoolGrant {
  std::uint32_t request = 0;
  CacheShape shape{};
  std::uint32_t blocks = 0;
  memory::PoolOffer offer{};
  std::uint32_t fds_total = 0;  // with this frame and the MoreFds that follow: fds_needed(offer)
  friend bool operator==(const PoolGrant&, const PoolGrant&) = default;
};

// Carries the fds of a grant beyond its first 253.
struct MoreFds {
  std::uint32_t request = 0;
  friend bool operator==(const MoreFds&, const MoreFds&) = default;
};

// The other answer to OpenPool.
struct Denied {
  std::uint32_t request = 0;
  ErrorCode code = ErrorCode::refused;
  std::string message{};
  friend bool operator==(const Denied&, const Denied&) = default;
};

// Initiator to owner: a transfer on this pool has landed.
struct Served {
  std::uint32_t pool = 0;
  std::uint64_t generation = 1;
  Direction direction = Direction::pull;
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;
  std::string path{};
  std::optional<std::string> notice{};  // UTF-8; may hold tabs and newlines: escape it to print it
  friend bool operator==(const Served&, const Served&) = default;
};

// Owner to importer: drain and unmap.
struct Revoke {
  std::uint32_t pool = 0;
  std::uint64_t generation = 1;
  friend bool operator==(const Revoke&, const Revoke&) = default;
};

// Importer to owner: nothing here can touch that generation any more.
struct Unmapped {
  std::uint32_t pool = 0;
  std::uint64_t generation = 1;
  friend bool operator==(const Unmapped&, const Unmapped&) = default;
};

struct Goodbye {
  std::string reason{};
  friend bool operator==(const Goodbye&, const Goodbye&) = default;
};

// Where and how the receiver may open streams for data to the sender: to its TCP port, naming the
// session and proving that it knows the secret. Travels on established connections only.
struct DataDoor {
  Id session{};      // random, not zero
  Secret secret{};   // random, not zero
  std::string ip{};  // the address listened on, which may be a wildcard
  std::uint16_t port = 0;
  bool encrypted = true;  // TLS with a key made from the secret; false: as it is, after a Join
  friend bool operator==(const DataDoor&, const DataDoor&) = default;
};

// The first frame on a data stream that is not encrypted. The proof is good once.
struct Join {
  Id session{};
  std::uint32_t stream = 0;  // counts the session's streams; each number serves once
  Secret proof{};            // HMAC-SHA256 of session and stream under the secret
  friend bool operator==(const Join&, const Join&) = default;
};

// Are you there? And the answer to it.
struct Ping {
  bool answer = false;
  friend bool operator==(const Ping&, const Ping&) = default;
};

// `count` neighbouring blocks, from `first`.
struct IdRun {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  friend bool operator==(const IdRun&, const IdRun&) = default;
};

// Requester to owner: move these blocks of your pool over the data streams between us.
struct MoveRequest {
  std::uint32_t request = 0;  // the requester's, used once
  std::uint32_t pool = 0;
  std::uint64_t generation = 1;
  Direction direction = Direction::pull;
  std::uint32_t first_layer = 0;
  std::uint32_t layers = 1;
  std::uint64_t bytes = 0;  // blocks * layers * block_bytes
  std::uint32_t chunk_bytes = 0;
  bool checked = false;            // chunks carry checksums
  std::uint32_t max_streams = 0;   // at once; 0: all there are
  std::uint64_t bytes_per_s = 0;   // at most; 0: no limit
  std::uint64_t time_left_us = 0;  // until the deadline; 0: there is none
  std::uint32_t runs_total = 0;    // here and in the MoveRuns that follow
  std::vector<IdRun> runs{};
  friend bool operator==(const MoveRequest&, const MoveRequest&) = default;
};

// More of a request's runs.
struct MoveRuns {
  std::uint32_t request = 0;
  std::vector<IdRun> runs{};
  friend bool operator==(const MoveRuns&, const MoveRuns&) = default;
};

// Owner to requester: send what you wanted to push.
struct MoveReady {
  std::uint32_t request = 0;
  friend bool operator==(const MoveReady&, const MoveReady&) = default;
};

// Requester to owner: stop. A push is answered by a MoveEnd, after which nothing lands.
struct MoveCancel {
  std::uint32_t request = 0;
  friend bool operator==(const MoveCancel&, const MoveCancel&) = default;
};

// Owner to requester: a push has landed, or a request has failed and why.
struct MoveEnd {
  std::uint32_t request = 0;
  std::optional<ErrorCode> failure{};
  std::string message{};
  std::uint64_t bytes = 0;  // that landed, or were sent
  friend bool operator==(const MoveEnd&, const MoveEnd&) = default;
};

// From the side that listens to one that does not: open so many data streams more to me, for my
// requests. Where they cannot be had, a MoveEnd for request 0 says why.
struct WantStreams {
  std::uint32_t count = 1;
  std::uint32_t epoch = 1;   // of the sender's requests: goes into the streams' greeting
  std::string congestion{};  // empty: as the receiver likes
  friend bool operator==(const WantStreams&, const WantStreams&) = default;
};

// The answer to OpenPool where nothing can be mapped, because the requester is on another host: its
// requests will be served until it says Unmapped.
struct PoolOpened {
  std::uint32_t request = 0;
  friend bool operator==(const PoolOpened&, const PoolOpened&) = default;
};

// Requester to owner: by what address does your UCX worker answer? Only where the other's Hello
// names the path "ucx".
struct AskUcx {
  std::uint32_t request = 0;  // comes back in the answer
  friend bool operator==(const AskUcx&, const AskUcx&) = default;
};

// The answer, or Denied.
struct UcxAddress {
  std::uint32_t request = 0;
  std::vector<std::byte> address{};  // as UCX made it
  friend bool operator==(const UcxAddress&, const UcxAddress&) = default;
};

// Requester to owner: let UCX get from that pool, and put into it.
struct OpenUcx {
  std::uint32_t request = 0;
  std::uint32_t pool = 0;
  std::uint64_t generation = 1;
  bool wants_write = false;
  friend bool operator==(const OpenUcx&, const OpenUcx&) = default;
};

struct UcxRegion {
  std::uint64_t base = 0;  // an address of the owner's
  std::uint64_t bytes = 0;
  std::vector<std::byte> key{};  // as UCX packed it
  friend bool operator==(const UcxRegion&, const UcxRegion&) = default;
};

// The answer, or Denied. It ends with an Unmapped, as a PoolGrant does. Keys never travel
// otherwise.
struct UcxGrant {
  std::uint32_t request = 0;
  std::uint32_t pool = 0;
  std::uint64_t generation = 1;
  std::uint32_t parts = 1;
  std::uint64_t block_stride = 0;
  std::vector<memory::PlaneRef> planes{};
  std::vector<UcxRegion> regions{};
  friend bool operator==(const UcxGrant&, const UcxGrant&) = default;
};

using Message = std::variant<Signpost, Hello, Refusal, OpenPool, PoolGrant, MoreFds, Denied, Served,
                             Revoke, Unmapped, Goodbye, DataDoor, Join, Ping, MoveRequest, MoveRuns,
                             MoveReady, MoveCancel, MoveEnd, WantStreams, PoolOpened, AskUcx,
                             UcxAddress, OpenUcx, UcxGrant>;

// "Hello", "PoolGrant", ...
std::string_view name_of(const Message& message) noexcept;

// The whole frame: header and payload. `fds`: how many the caller sends beside its first byte. Text
// meant for people (software, tags, messages, reasons, fields of a refusal) is made printable and
// cut to its bound; of more than 64 fields of a refusal the last says how many are left out.
// Throws: Error{invalid_argument} for a message that the other side would refuse, naming the field,
// or one that does not fit a frame.
std::vector<std::byte> encode(const Message& message, std::uint16_t fds = 0,
                              std::uint16_t version = kProtocolVersion);

// Trusts nothing: verifies the structure, then every field and every bound of docs/wire.md. Any
// alignment. Throws: Error{failed} (not a message at all), Error{refused} (a message of a type this
// build does not know, or one that breaks a rule), naming the field.
Message decode(std::span<const std::byte> payload);

// Whether a frame of this kind may carry so many fds: PoolGrant min(fds_total, 253), MoreFds 1 to
// 253, others none. Throws: Error{refused}.
void check_fds(const Message& message, std::uint16_t fds);
// File descriptors that travel with an offer: one for each chunk that has one.
std::uint32_t fds_needed(const memory::PoolOffer& offer) noexcept;

// A grant is for the pool that the peer's Hello announced: number, generation, shape and blocks
// agree, and its memory is on that device. Throws: Error{refused} naming the first that does not.
void check_grant(const PoolGrant& grant, const PoolInfo& announced);
// The same for a grant over UCX, whose planes lie in its regions. Throws: as above.
void check_grant(const UcxGrant& grant, const PoolInfo& announced);

// The highest version both sides speak. Throws: Error{refused} naming both ranges.
std::uint16_t agree_version(const Hello& ours, const Hello& theirs);

}  // namespace kvferry::wire
