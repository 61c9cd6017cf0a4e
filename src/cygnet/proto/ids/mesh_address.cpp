// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/ids/mesh_address.h"

#include <algorithm>

#include "cygnet/crypto/hash.h"

namespace cygnet::proto {

std::string mesh_id_text(const crypto::MeshId& mesh) { return to_hex(mesh); }

Result<crypto::MeshId> mesh_id_from_octets(ByteView octets) {
  crypto::MeshId out{};
  if (octets.size() != out.size()) {
    return fail(kErrMeshId, "mesh id has " + std::to_string(octets.size()) + " octets, not 16");
  }
  std::copy(octets.begin(), octets.end(), out.begin());
  return out;
}

Result<crypto::MeshId> mesh_id_from_text(std::string_view hex) {
  const Result<Bytes> octets = from_hex(hex);
  if (!octets) return fail(kErrMeshId, "mesh id is no hex text: " + octets.error().message);
  return mesh_id_from_octets(*octets);
}

std::string identity_uri(const crypto::MeshId& mesh, const DeviceName& device) {
  return "cygnet://" + mesh_id_text(mesh) + "/" + std::string(name_label(device));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.3
//# The controller protocol MUST be able to describe an identity that a receiver can match against
//# its local PAD database, to ensure that the peer is an authorized peer.
Result<DeviceIdentity> identity_of_leaf(const crypto::Certificate& leaf) {
  const auto refuse = [](const std::string& what) {
    return fail(kErrCertificateIdentity, what, {}, "enrol the device again");
  };
  const std::optional<std::string> dns = leaf.dns_san();
  const std::optional<std::string> uri = leaf.uri_san();
  if (!dns || !uri) return refuse("certificate has not exactly one DNS name and one URI name");
  const Result<DeviceName> device = parse_device_name(*dns);
  if (!device) return refuse("DNS name of the certificate: " + device.error().message);
  constexpr std::string_view scheme = "cygnet://";
  constexpr std::size_t mesh_digits = 32;
  if (uri->rfind(scheme, 0) != 0 || uri->size() < scheme.size() + mesh_digits) {
    return refuse("URI name of the certificate is no cygnet:// name");
  }
  const Result<crypto::MeshId> mesh =
      mesh_id_from_text(std::string_view(*uri).substr(scheme.size(), mesh_digits));
  if (!mesh) return refuse("URI name of the certificate has no mesh id");
  // Comparing with the one correct spelling also refuses upper-case hex and trailing text.
  if (identity_uri(*mesh, *device) != *uri) {
    return refuse("URI name and DNS name of the certificate disagree");
  }
  return DeviceIdentity{*mesh, *device};
}

MeshAddress mesh_prefix(const crypto::MeshId& mesh) {
  const crypto::Sha256 digest = crypto::sha256({as_bytes("cygnet-mesh"), mesh});
  MeshAddress out{};
  out[0] = 0xfd;
  std::copy_n(digest.begin(), 5, out.begin() + 1);
  return out;
}

MeshAddress mesh_address(const crypto::MeshId& mesh, const DeviceName& device) {
  const crypto::Sha256 digest =
      crypto::sha256({as_bytes("cygnet-dev"), mesh, as_bytes(device.value())});
  MeshAddress out = mesh_prefix(mesh);
  std::copy_n(digest.begin(), 8, out.begin() + 8);
  return out;
}

std::string address_text(const MeshAddress& address) {
  std::array<unsigned, 8> group{};
  for (std::size_t i = 0; i < 8; ++i) group[i] = load_be16(address.data() + 2 * i);
  // RFC 5952 section 4.2: the first longest run of two or more zero groups becomes "::".
  std::size_t best = 8;
  std::size_t best_length = 1;
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && group[end] == 0) ++end;
    if (end - i > best_length) {
      best = i;
      best_length = end - i;
    }
    i = end == i ? i + 1 : end;
  }
  const auto hex = [](unsigned value) {
    std::string out;
    for (int shift = 12; shift >= 0; shift -= 4) {
      const unsigned digit = (value >> shift) & 15U;
      if (digit != 0 || !out.empty() || shift == 0) out.push_back("0123456789abcdef"[digit]);
    }
    return out;
  };
  std::string out;
  for (std::size_t i = 0; i < 8;) {
    if (i == best) {
      out += "::";
      i += best_length;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ":";
    out += hex(group[i]);
    ++i;
  }
  return out;
}

}  // namespace cygnet::proto
