// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Meshes and who is in them (docs/protocol.md section 2, "Identity"): mesh ids, the names in a
/// device's certificate, the mesh address. Pure; uses crypto, so proto/rekey may not include it.

#include <array>
#include <string>
#include <string_view>

#include "cygnet/crypto/identity.h"
#include "cygnet/proto/ids/device_name.h"

namespace cygnet::proto {

inline constexpr ErrorCode kErrMeshId{"mesh-id"};
inline constexpr ErrorCode kErrCertificateIdentity{"certificate-identity"};

/// 32 lower-case hex digits.
[[nodiscard]] std::string mesh_id_text(const crypto::MeshId& mesh);
/// @retval kErrMeshId  not 32 hex digits
[[nodiscard]] Result<crypto::MeshId> mesh_id_from_text(std::string_view hex);
/// @retval kErrMeshId  not 16 octets
[[nodiscard]] Result<crypto::MeshId> mesh_id_from_octets(ByteView octets);

/// The URI SAN of a device's leaf: "cygnet://<mesh id in hex>/<name>".
[[nodiscard]] std::string identity_uri(const crypto::MeshId& mesh, const DeviceName& device);

/// Who a leaf speaks for.
struct DeviceIdentity {
  crypto::MeshId mesh{};
  DeviceName device;
  friend bool operator==(const DeviceIdentity&, const DeviceIdentity&) = default;
};
/// Reads the identity from a leaf. Only a leaf whose chain has been verified proves anything.
/// @retval kErrCertificateIdentity  not exactly one DNS and one URI name, or they disagree
[[nodiscard]] Result<DeviceIdentity> identity_of_leaf(const crypto::Certificate& leaf);

/// An IPv6 address in network order.
using MeshAddress = std::array<std::uint8_t, 16>;
/// fd | SHA-256("cygnet-mesh" | mesh id)[0..5) | 00 00 |
/// SHA-256("cygnet-dev" | mesh id | IDi data)[0..8); a /128, IDi data being the device's name.
[[nodiscard]] MeshAddress mesh_address(const crypto::MeshId& mesh, const DeviceName& device);
/// The /64 all mesh addresses of a mesh lie in (last eight octets zero).
[[nodiscard]] MeshAddress mesh_prefix(const crypto::MeshId& mesh);
/// RFC 5952 text.
[[nodiscard]] std::string address_text(const MeshAddress& address);

}  // namespace cygnet::proto
