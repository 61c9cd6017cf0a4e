// SPDX-License-Identifier: Apache-2.0
#include "cygnet/debug/dim_json.h"
#include "cygnet/debug/verbs.h"
#include "cygnet/proto/dim/dim_check.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/dim/notify.h"
#include "cygnet/proto/dim/sa_payload.h"
#include "cygnet/proto/ikev2/payload.h"

namespace cygnet::debug {
namespace {

using ikev2_payload = proto::ikev2::Payload;
namespace payload = proto::ikev2::payload;

Json transform_json(const proto::Transform& t) {
  Json out = {{"type", t.type}, {"type_name", transform_type_name(t.type)}, {"id", t.id}};
  if (t.key_bits) out["key_length"] = *t.key_bits;
  if (!t.other_attributes.empty()) out["attributes"] = to_hex(t.other_attributes);
  return out;
}

Json sa_fields(const ikev2_payload& p) {
  Json proposals = Json::array();
  const auto decoded = proto::decode_sa(p.body, p.offset);
  CYGNET_ASSERT(decoded.has_value());
  for (const proto::Proposal& proposal : *decoded) {
    Json transforms = Json::array();
    for (const proto::Transform& t : proposal.transforms) transforms.push_back(transform_json(t));
    const auto policy = proto::interpret(proposal);
    proposals.push_back({{"number", proposal.number},
                         {"protocol", kProtocolEsp},
                         {"spi_size", 0},
                         {"policy", policy ? Json(proto::to_string(*policy)) : Json(nullptr)},
                         {"transforms", transforms}});
  }
  return {{"proposals", proposals}};
}

Json notify_fields(ByteView body) {
  const std::uint16_t type = load_be16(body.data() + 2);
  const ByteView data = body.subspan(4);
  Json out = {{"protocol", body[0]},
              {"spi_size", body[1]},
              {"notify_type", type},
              {"notify_name", proto::notify_name(type)}};
  switch (type) {
    case proto::notify::kRekeyCounter:
      out["boot_count"] = load_be32(data.data());
      out["sequence"] = load_be32(data.data() + 4);
      break;
    case proto::notify::kInitialContact:
      break;
    case proto::notify::kLanes:
      out["lanes"] = load_be16(data.data());
      break;
    case proto::notify::kPpkIdentity:
      out["ppk_type"] = data[0];
      out["ppk_id"] = to_hex(data.subspan(1));
      break;
    default:
      out["data"] = to_hex(data);
      break;
  }
  return out;
}

Json fields_json(const ikev2_payload& p) {
  switch (p.type) {
    case payload::kIdi:
      return {{"id_type", p.body[0]}, {"id", std::string(as_text(p.body.subspan(4)))}};
    case payload::kNotify:
      return notify_fields(p.body);
    case payload::kSa:
      return sa_fields(p);
    case payload::kKe: {
      const std::uint16_t group = load_be16(p.body.data());
      const auto known = crypto::dh_group_from(group);
      return {{"group", group},
              {"group_name", known ? Json(crypto::to_string(*known)) : Json(nullptr)},
              {"value", to_hex(p.body.subspan(4))}};
    }
    case payload::kNonce:
      return {{"nonce", to_hex(p.body)}};
    default: {
      const std::size_t algorithm = p.body[4];
      return {{"method", p.body[0]},
              {"algorithm", to_hex(p.body.subspan(5, algorithm))},
              {"signature", to_hex(p.body.subspan(5 + algorithm))}};
    }
  }
}

}  // namespace

std::string transform_type_name(std::uint8_t type) {
  switch (static_cast<proto::TransformType>(type)) {
    case proto::TransformType::kEncr:
      return "ENCR";
    case proto::TransformType::kPrf:
      return "PRF";
    case proto::TransformType::kInteg:
      return "INTEG";
    case proto::TransformType::kKe:
      return "KE";
    case proto::TransformType::kSn:
      return "SN";
    case proto::TransformType::kMode:
      return "mode";
    case proto::TransformType::kReplay:
      return "replay";
  }
  return "type " + std::to_string(type);
}

Result<Answer> dim_decode(const Json& json) {
  CYGNET_TRY(Fields fields, Fields::of(json, ""));
  CYGNET_TRY(const Bytes octets, fields.octets("dim"));
  CYGNET_CHECK_OK(fields.done());
  CYGNET_TRY(const proto::Dim dim, proto::decode_dim(octets));
  CYGNET_TRY(const auto payloads,
             proto::ikev2::split_chain(payload::kIdi, octets, proto::kErrDimForm));
  Json list = Json::array();
  for (const ikev2_payload& p : payloads) {
    list.push_back({{"offset", p.offset},
                    {"type", p.type},
                    {"name", proto::ikev2::payload_name(p.type)},
                    {"length", p.body.size() + proto::ikev2::kPayloadHeaderLength},
                    {"fields", fields_json(p)}});
  }
  return answer(Json::object({{"device", dim.device.value()},
                              {"counter", proto::to_string(dim.counter)},
                              {"length", octets.size()},
                              {"digest", to_hex(proto::dim_digest(octets))},
                              {"payloads", list}}));
}

}  // namespace cygnet::debug
