// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/dim/notify.h"
#include "cygnet/proto/dim/sa_payload.h"
#include "cygnet/proto/ikev2/payload.h"

namespace cygnet::proto {
namespace {

using ikev2::ChainWriter;
namespace payload = ikev2::payload;

Bytes notify_body(std::uint16_t type, ByteView data) {
  ByteWriter w;
  w.u8(0);  // protocol
  w.u8(0);  // SPI size
  w.u16(type);
  w.octets(data);
  return w.take();
}

Bytes identity_body(const DeviceName& device) {
  ByteWriter w;
  w.u8(2);  // FQDN
  w.u8(0);
  w.u16(0);
  w.octets(as_bytes(device.value()));
  return w.take();
}

Bytes auth_body(const crypto::Signature& auth) {
  ByteWriter w;
  w.u8(kAuthMethodSignature);
  w.u8(0);
  w.u16(0);
  w.u8(static_cast<std::uint8_t>(auth.algorithm.size()));
  w.octets(auth.algorithm);
  w.octets(auth.value);
  return w.take();
}

// Rough size before anything is written, so that no length field can overflow.
std::size_t size_estimate(const Dim& dim) {
  std::size_t n = dim.device.value().size() + dim.nonce.size() + dim.auth.algorithm.size() +
                  dim.auth.value.size();
  for (const Bytes& id : dim.ppk_ids) n += id.size();
  for (const UnknownNotify& u : dim.unknown_notifies) n += u.data.size();
  for (const DhPublic& ke : dim.kes) n += ke.value.size();
  for (const Proposal& p : dim.proposals) {
    for (const Transform& t : p.transforms) n += t.other_attributes.size();
  }
  return n;
}

// Writes what the value says; whether that is a DIM is for decode_dim to judge.
void write_before_auth(const Dim& dim, ChainWriter& w) {
  w.add(payload::kIdi, identity_body(dim.device));
  ByteWriter counter;
  counter.u64(dim.counter.to_wire());
  w.add(payload::kNotify, notify_body(notify::kRekeyCounter, counter.view()));
  if (dim.initial_contact) w.add(payload::kNotify, notify_body(notify::kInitialContact, {}));
  if (dim.lanes != 1) {
    ByteWriter lanes;
    lanes.u16(dim.lanes);
    w.add(payload::kNotify, notify_body(notify::kLanes, lanes.view()));
  }
  for (const Bytes& id : dim.ppk_ids) {
    w.add(payload::kNotify, notify_body(notify::kPpkIdentity, id));
  }
  for (const UnknownNotify& u : dim.unknown_notifies) {
    w.add(payload::kNotify, notify_body(u.type, u.data));
  }
  w.add(payload::kSa, encode_sa(dim.proposals));
  for (const DhPublic& ke : dim.kes) {
    ByteWriter body;
    body.u16(ke.group);
    body.u16(0);
    body.octets(ke.value);
    w.add(payload::kKe, body.view());
  }
  w.add(payload::kNonce, dim.nonce);
}

}  // namespace

Result<Bytes> encode_dim(const Dim& dim) {
  if (size_estimate(dim) > kDimLengthMax || dim.auth.algorithm.size() > 255 ||
      std::any_of(dim.proposals.begin(), dim.proposals.end(),
                  [](const Proposal& p) { return p.transforms.size() > 255; })) {
    return fail(kErrDimSize, "the DIM's parts exceed its size limits");
  }
  ChainWriter w;
  write_before_auth(dim, w);
  w.add(payload::kAuth, auth_body(dim.auth));
  Bytes octets = w.take();
  // One judge for both directions: what we send is exactly what we would accept.
  CYGNET_TRY(const Dim reread, decode_dim(octets));
  if (!(reread == dim)) {
    return fail(kErrDimForm, "the value is not what its encoding says", {},
                "build it from known notifies and attributes by their own fields");
  }
  return octets;
}

Result<Bytes> encode_dim_unsigned(const Dim& dim) {
  Dim with_placeholder = dim;
  with_placeholder.auth = {Bytes{0}, Bytes{0}};
  CYGNET_TRY(Bytes octets, encode_dim(with_placeholder));
  octets.resize(octets_before_auth(octets).size());
  return octets;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//# the attack of a subverted controller can be mitigated by having a device sign its
//# Diffie-Hellman public value
Bytes auth_input(const crypto::MeshId& mesh, ByteView before_auth) {
  constexpr std::uint8_t zero = 0;
  return concat({as_bytes("cygnet-dim-v1"), ByteView(&zero, 1), mesh, ByteView(&payload::kIdi, 1),
                 before_auth});
}

Result<Bytes> sign_dim(Dim& dim, const crypto::MeshId& mesh, const crypto::IdentityKey& key) {
  CYGNET_TRY(const Bytes before, encode_dim_unsigned(dim));
  CYGNET_TRY(dim.auth, key.sign(auth_input(mesh, before)));
  return encode_dim(dim);
}

Status verify_dim(const Dim& dim, ByteView octets, const crypto::MeshId& mesh,
                  const crypto::Certificate& certificate) {
  return certificate.verify(auth_input(mesh, octets_before_auth(octets)), dim.auth);
}

}  // namespace cygnet::proto
