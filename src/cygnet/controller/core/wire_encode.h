// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Peer changes and updates as protobuf octets, written by hand so that one device's change is
/// encoded once and every session's batch is a concatenation of shared pieces
/// (proto/cygnet/device/v1/device.proto: Update, PeerChange). Pure.

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "cygnet/controller/core/values.h"

namespace cygnet::controller {

/// What a PeerChange may tell.
enum ChangePart : std::uint8_t { kPartDim = 1, kPartEndpoints = 2, kPartPrefixes = 4 };
inline constexpr std::uint8_t kPartsAll = kPartDim | kPartEndpoints | kPartPrefixes;

/// StoredDim as it lies in the relay: octets shared with the store's record.
struct RelayedDim {
  SharedOctets dim;
  SharedOctets certificate;
  ServerTime accepted_at;
};

struct PairPolicyValue {
  bool on_demand = false;
  std::string_view via;
};

/// Field `changes` of an Update, tag and length included: concatenating several is an Update's
/// list. `dim` may be null (no news, or none yet).
[[nodiscard]] Bytes encode_change(std::string_view device, const RelayedDim* dim,
                                  const std::vector<Endpoint>* endpoints,
                                  const std::vector<policy::PrefixSpec>* prefixes,
                                  const PairPolicyValue* pair);
/// The same for a tombstone.
[[nodiscard]] Bytes encode_removal(std::string_view device);

struct UpdateTail {
  ByteView epoch;
  Position position = 0;
  bool snapshot_begin = false;
  bool snapshot_end = false;
  ByteView settings;     ///< encoded MeshSettings; empty: absent
  ByteView revocations;  ///< encoded Revocations; empty: absent
};
/// A whole FromController message with an Update in it.
[[nodiscard]] Bytes encode_update(std::span<const SharedOctets> changes, const UpdateTail& tail);
/// The same into octets that are there already, and empty.
void encode_update(std::span<const SharedOctets> changes, const UpdateTail& tail, Bytes& out);

}  // namespace cygnet::controller
