// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/identity.h"
#include "cygnet/debug/dim_json.h"
#include "cygnet/debug/verbs.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/dim/notify.h"
#include "cygnet/proto/dim/sa_payload.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/proto/ikev2/payload.h"

namespace cygnet::debug {
namespace {

namespace payload = proto::ikev2::payload;

// Payload bodies are written as the input says; whether they make a DIM is for decode_dim to judge,
// with payload and offset.

Result<std::uint8_t> octet(Fields& fields, std::string_view name) {
  CYGNET_TRY(const std::uint64_t value, fields.number(name, 0xff));
  return static_cast<std::uint8_t>(value);
}
Result<std::uint16_t> two_octets(Fields& fields, std::string_view name) {
  CYGNET_TRY(const std::uint64_t value, fields.number(name, 0xffff));
  return static_cast<std::uint16_t>(value);
}
Result<std::uint32_t> four_octets(Fields& fields, std::string_view name) {
  CYGNET_TRY(const std::uint64_t value, fields.number(name, 0xffffffff));
  return static_cast<std::uint32_t>(value);
}

Result<Bytes> identity_body(Fields& fields) {
  ByteWriter w;
  CYGNET_TRY(const std::uint8_t type, octet(fields, "id_type"));
  CYGNET_TRY(const std::string id, fields.text("id"));
  w.u8(type);
  w.u8(0);
  w.u16(0);
  w.octets(as_bytes(id));
  return w.take();
}

Status notify_data(Fields& fields, std::uint16_t type, ByteWriter& w) {
  switch (type) {
    case proto::notify::kInitialContact:
      return {};
    case proto::notify::kRekeyCounter: {
      CYGNET_TRY(const std::uint32_t boot_count, four_octets(fields, "boot_count"));
      CYGNET_TRY(const std::uint32_t sequence, four_octets(fields, "sequence"));
      w.u32(boot_count);
      w.u32(sequence);
      return {};
    }
    case proto::notify::kLanes: {
      CYGNET_TRY(const std::uint16_t lanes, two_octets(fields, "lanes"));
      w.u16(lanes);
      return {};
    }
    case proto::notify::kPpkIdentity: {
      CYGNET_TRY(const std::uint8_t ppk_type, octet(fields, "ppk_type"));
      CYGNET_TRY(const Bytes id, fields.octets("ppk_id"));
      w.u8(ppk_type);
      w.octets(id);
      return {};
    }
    default: {
      CYGNET_TRY(const Bytes data, fields.octets("data"));
      w.octets(data);
      return {};
    }
  }
}

Result<Bytes> notify_body(Fields& fields) {
  ByteWriter w;
  for (const char* name : {"protocol", "spi_size"}) {
    std::uint8_t value = 0;
    if (fields.has(name)) {
      CYGNET_TRY(value, octet(fields, name));
    }
    w.u8(value);
  }
  CYGNET_TRY(const std::uint16_t type, two_octets(fields, "notify_type"));
  fields.ignore({"notify_name"});
  w.u16(type);
  CYGNET_CHECK_OK(notify_data(fields, type, w));
  return w.take();
}

Result<proto::Transform> transform(const Json& json, const std::string& path) {
  CYGNET_TRY(Fields fields, Fields::of(json, path + "."));
  proto::Transform out;
  CYGNET_TRY(out.type, octet(fields, "type"));
  CYGNET_TRY(out.id, two_octets(fields, "id"));
  if (fields.has("key_length")) {
    CYGNET_TRY(out.key_bits, two_octets(fields, "key_length"));
  }
  if (fields.has("attributes")) {
    CYGNET_TRY(out.other_attributes, fields.octets("attributes"));
  }
  fields.ignore({"type_name"});
  CYGNET_CHECK_OK(fields.done());
  return out;
}

Result<proto::Proposal> proposal(const Json& json, const std::string& path) {
  CYGNET_TRY(Fields fields, Fields::of(json, path + "."));
  proto::Proposal out;
  CYGNET_TRY(out.number, octet(fields, "number"));
  const auto expect = [&](std::string_view name, std::uint8_t only) -> Status {
    if (!fields.has(name)) return {};
    CYGNET_TRY(const std::uint8_t value, octet(fields, name));
    if (value == only) return {};
    return fail(proto::kErrDimForm, "field " + fields.path_of(name) + " is " +
                                        std::to_string(value) + "; a DIM has " +
                                        std::to_string(only) + " there");
  };
  CYGNET_CHECK_OK(expect("protocol", kProtocolEsp));
  CYGNET_CHECK_OK(expect("spi_size", 0));
  CYGNET_TRY(const Json* transforms, fields.array("transforms"));
  std::size_t index = 0;
  for (const Json& item : *transforms) {
    CYGNET_TRY(proto::Transform t,
               transform(item, path + ".transforms[" + std::to_string(index++) + "]"));
    out.transforms.push_back(std::move(t));
  }
  if (out.transforms.size() > 0xff) {
    return fail(proto::kErrDimForm, "field " + path + ".transforms has more than 255 elements");
  }
  fields.ignore({"policy"});
  CYGNET_CHECK_OK(fields.done());
  return out;
}

Result<Bytes> sa_body(Fields& fields) {
  CYGNET_TRY(const Json* list, fields.array("proposals"));
  std::vector<proto::Proposal> proposals;
  std::size_t index = 0;
  for (const Json& item : *list) {
    CYGNET_TRY(proto::Proposal p,
               proposal(item, fields.path_of("proposals") + "[" + std::to_string(index++) + "]"));
    proposals.push_back(std::move(p));
  }
  return proto::encode_sa(proposals);
}

Result<Bytes> ke_body(Fields& fields) {
  ByteWriter w;
  CYGNET_TRY(const std::uint16_t group, two_octets(fields, "group"));
  CYGNET_TRY(const Bytes value, fields.octets("value"));
  fields.ignore({"group_name"});
  w.u16(group);
  w.u16(0);
  w.octets(value);
  return w.take();
}

Result<Bytes> auth_body(std::uint8_t method, const crypto::Signature& signature) {
  if (signature.algorithm.size() > 0xff) {
    return fail(proto::kErrDimForm, "the AUTH algorithm exceeds 255 octets");
  }
  ByteWriter w;
  w.u8(method);
  w.u8(0);
  w.u16(0);
  w.u8(static_cast<std::uint8_t>(signature.algorithm.size()));
  w.octets(signature.algorithm);
  w.octets(signature.value);
  return w.take();
}

Result<Bytes> given_auth_body(Fields& fields) {
  CYGNET_TRY(const std::uint8_t method, octet(fields, "method"));
  crypto::Signature signature;
  CYGNET_TRY(signature.algorithm, fields.octets("algorithm"));
  CYGNET_TRY(signature.value, fields.octets("signature"));
  return auth_body(method, signature);
}

Result<Bytes> body_of(std::uint8_t type, Fields& fields) {
  switch (type) {
    case payload::kIdi:
      return identity_body(fields);
    case payload::kNotify:
      return notify_body(fields);
    case payload::kSa:
      return sa_body(fields);
    case payload::kKe:
      return ke_body(fields);
    case payload::kNonce:
      return fields.octets("nonce");
    case payload::kAuth:
      return given_auth_body(fields);
    default:
      return fail(proto::kErrDimForm,
                  "payload type " + std::to_string(type) + " does not belong into a DIM");
  }
}

// Reads one element of `payloads` and adds it, but for an AUTH that is made anew.
Status add_payload(const Json& json, const std::string& path, bool signing,
                   proto::ikev2::ChainWriter& chain) {
  CYGNET_TRY(Fields entry, Fields::of(json, path + "."));
  CYGNET_TRY(const std::uint8_t type, octet(entry, "type"));
  entry.ignore({"offset", "length", "name"});
  if (signing && type == payload::kAuth) {
    entry.ignore({"fields"});
    return entry.done();
  }
  CYGNET_TRY(Fields fields, entry.object("fields"));
  CYGNET_TRY(const Bytes body, body_of(type, fields));
  CYGNET_CHECK_OK(fields.done());
  CYGNET_CHECK_OK(entry.done());
  if (chain.size() + body.size() + proto::ikev2::kPayloadHeaderLength > proto::kDimLengthMax) {
    return fail(proto::kErrDimSize,
                "the DIM exceeds the limit of " + std::to_string(proto::kDimLengthMax) + " octets",
                proto::ikev2::payload_at(type, chain.size()));
  }
  chain.add(type, body);
  return {};
}

}  // namespace

Result<Answer> dim_encode(const Json& json) {
  CYGNET_TRY(Fields fields, Fields::of(json, ""));
  CYGNET_TRY(const Json* payloads, fields.array("payloads"));
  const bool signing = fields.has("key");
  proto::ikev2::ChainWriter chain;
  std::size_t index = 0;
  bool has_auth = false;
  for (const Json& item : *payloads) {
    CYGNET_CHECK_OK(add_payload(item, "payloads[" + std::to_string(index++) + "]", signing, chain));
    has_auth = has_auth || (!signing && item["type"] == payload::kAuth);
  }
  if (signing) {
    CYGNET_TRY(std::string pem, fields.text("key"));
    const SecretBytes secret(as_bytes(pem));
    secure_zero(pem.data(), pem.size());
    CYGNET_TRY(const crypto::IdentityKey key, crypto::IdentityKey::from_pem(secret));
    CYGNET_TRY(const std::string mesh_text, fields.text("mesh_id"));
    CYGNET_TRY(const crypto::MeshId mesh, proto::mesh_id_from_text(mesh_text));
    // AUTH signs all octets before it, the Next Payload field that announces it included.
    chain.announce(payload::kAuth);
    const Bytes before = chain.take();
    CYGNET_TRY(const crypto::Signature signature, key.sign(proto::auth_input(mesh, before)));
    CYGNET_TRY(const Bytes body, auth_body(proto::kAuthMethodSignature, signature));
    proto::ikev2::ChainWriter auth;
    auth.add(payload::kAuth, body);
    fields.ignore({"device", "counter", "length", "digest"});
    CYGNET_CHECK_OK(fields.done());
    const Bytes octets = concat({before, auth.take()});
    CYGNET_CHECK_OK(proto::decode_dim(octets).map([](const proto::Dim&) {}));
    return answer(Json::object({{"dim", to_hex(octets)}}));
  }
  if (!has_auth) {
    return fail(kErrMissingField, "field key is missing, and payloads has no AUTH to take over");
  }
  fields.ignore({"device", "counter", "length", "digest", "mesh_id"});
  CYGNET_CHECK_OK(fields.done());
  const Bytes octets = chain.take();
  CYGNET_CHECK_OK(proto::decode_dim(octets).map([](const proto::Dim&) {}));
  return answer(Json::object({{"dim", to_hex(octets)}}));
}

}  // namespace cygnet::debug
