#pragma once

namespace kvferry::detail {

class NodeImpl;
class PeerImpl;
class PoolImpl;
class TransferImpl;

}  // namespace kvferry::detail
