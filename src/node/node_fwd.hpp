#pragma once

namespace kvferry::detail {

class NodeImpl;
class PeerImpl;
class PoolImpl;
class PreparedImpl;
class TransferImpl;

}  // namespace kvferry::detail
