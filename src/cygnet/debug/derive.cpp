// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/dh.h"
#include "cygnet/debug/suite.h"
#include "cygnet/debug/verbs.h"
#include "cygnet/proto/keymat/keymat.h"

namespace cygnet::debug {
namespace {

using crypto::DhGroup;
using crypto::PrfId;

constexpr ErrorCode kErrSpn{"spn"};

struct Input {
  DhGroup group = DhGroup::kX25519;
  PrfId prf = PrfId::kHmacSha2_256;
  crypto::EspSuite suite;
  std::uint16_t lanes = 1;
  proto::Kdf kdf = proto::Kdf::kLong;
  SecretBytes ppk;
  std::optional<std::pair<std::uint8_t, std::uint8_t>> spn;
  SecretBytes local_private;
  Bytes local_nonce;
  Bytes remote_public;
  Bytes remote_nonce;
};

Result<std::uint16_t> read_lanes(Fields& fields) {
  if (!fields.has("lanes")) return std::uint16_t{1};
  const Result<std::uint64_t> lanes = fields.number("lanes", proto::kLanesMax);
  if (!lanes && lanes.error().code == kErrRange) {
    return fail(proto::kErrLanes, lanes.error().message);
  }
  CYGNET_TRY(const std::uint64_t value, lanes);
  return static_cast<std::uint16_t>(value);
}

Result<std::optional<std::pair<std::uint8_t, std::uint8_t>>> read_spn(Fields& fields) {
  if (!fields.has("spn")) return std::nullopt;
  CYGNET_TRY(const Json* values, fields.array("spn"));
  const auto octet = [](const Json& v) {
    return v.is_number_unsigned() && v.get<std::uint64_t>() <= 255;
  };
  if (values->size() != 2 || !octet((*values)[0]) || !octet((*values)[1])) {
    return fail(kErrSpn, "field spn is " + values->dump() + ", not [SPNi, SPNr], each 0 to 255", {},
                "give null for SPIs without proposal numbers");
  }
  return std::pair{(*values)[0].get<std::uint8_t>(), (*values)[1].get<std::uint8_t>()};
}

Result<proto::Kdf> read_kdf(Fields& fields) {
  if (!fields.has("kdf")) return proto::Kdf::kLong;
  CYGNET_TRY(const std::string name, fields.text("kdf"));
  if (name == "long") return proto::Kdf::kLong;
  if (name == "short") return proto::Kdf::kShort;
  return fail(kErrUnknownName, "field kdf is \"" + name + "\", neither \"long\" nor \"short\"");
}

Result<SecretBytes> read_ppk(Fields& fields) {
  if (!fields.has("ppk")) return SecretBytes();
  CYGNET_TRY(const Bytes ppk, fields.octets("ppk"));
  if (ppk.empty()) return fail(proto::kErrPpk, "field ppk is empty", {}, "give null for no PPK");
  return SecretBytes(ByteView(ppk));
}

Result<Input> read(const Json& json) {
  CYGNET_TRY(Fields fields, Fields::of(json, ""));
  Input input;
  CYGNET_TRY(const std::uint64_t group, fields.number("group", 0xffff));
  const auto known_group = crypto::dh_group_from(static_cast<std::uint16_t>(group));
  if (!known_group) {
    return fail(kErrUnknownName, "field group is " + std::to_string(group) +
                                     ", which is none of 14, 15, 16, 19, 20, 21, 31, 32");
  }
  input.group = *known_group;
  CYGNET_TRY(const std::string prf, fields.text("prf"));
  const auto known_prf = crypto::prf_from_name(prf);
  if (!known_prf) {
    return fail(kErrUnknownName, "field prf is \"" + prf + "\"", {},
                "use hmac-sha2-256, hmac-sha2-384 or hmac-sha2-512");
  }
  input.prf = *known_prf;
  CYGNET_TRY(input.suite, read_suite(fields));
  CYGNET_TRY(input.lanes, read_lanes(fields));
  CYGNET_TRY(input.kdf, read_kdf(fields));
  CYGNET_TRY(input.ppk, read_ppk(fields));
  CYGNET_TRY(input.spn, read_spn(fields));
  CYGNET_TRY(Fields local, fields.object("local"));
  CYGNET_TRY(Bytes private_value, local.octets("private"));
  input.local_private = SecretBytes(ByteView(private_value));
  secure_zero(private_value.data(), private_value.size());
  CYGNET_TRY(input.local_nonce, local.octets("nonce"));
  CYGNET_TRY(Fields remote, fields.object("remote"));
  CYGNET_TRY(input.remote_public, remote.octets("public"));
  CYGNET_TRY(input.remote_nonce, remote.octets("nonce"));
  CYGNET_CHECK_OK(fields.done());
  CYGNET_CHECK_OK(local.done());
  CYGNET_CHECK_OK(remote.done());
  return input;
}

Json octets_or_null(const SecretBytes& value) {
  return value.empty() ? Json(nullptr) : Json(to_hex(value.reveal()));
}

std::string spi_text(proto::Spi spi) {
  std::array<std::uint8_t, 4> octets{};
  store_be32(octets.data(), spi.value());
  return to_hex(octets);
}

Json keys_json(const proto::DirectionKeys& keys) {
  return {{"encr", to_hex(keys.encr.reveal())}, {"integ", octets_or_null(keys.integ)}};
}

Json lanes_json(const proto::Keymat& keymat) {
  Json out = Json::array();
  for (const proto::LaneKeys& lane : keymat.lanes) {
    out.push_back({{"spi_i", spi_text(lane.spi.i)},
                   {"spi_r", spi_text(lane.spi.r)},
                   {"i_to_r", keys_json(lane.i_to_r)},
                   {"r_to_i", keys_json(lane.r_to_i)}});
  }
  return out;
}

}  // namespace

Result<Answer> derive(const Json& json) {
  CYGNET_TRY(const Input input, read(json));
  CYGNET_CHECK_OK(proto::check_nonce(input.local_nonce, "field local.nonce"));
  CYGNET_CHECK_OK(proto::check_nonce(input.remote_nonce, "field remote.nonce"));
  CYGNET_TRY(const proto::Role role, proto::role_of_local(input.local_nonce, input.remote_nonce));
  const bool initiator = role == proto::Role::kInitiator;

  CYGNET_TRY(const crypto::DhPrivate own,
             crypto::DhPrivate::from_octets(input.group, input.local_private.reveal()));
  CYGNET_TRY(const SecretBytes g_ir, own.derive(input.remote_public));
  const proto::SpiInputs spis{input.prf, initiator ? input.local_nonce : input.remote_nonce,
                              initiator ? input.remote_nonce : input.local_nonce, input.spn,
                              input.lanes};
  CYGNET_TRY(const proto::Keymat keymat,
             proto::derive_keymat(spis, input.suite, g_ir.reveal(), input.ppk.reveal(), input.kdf));
  return answer(Json::object({{"role", initiator ? "initiator" : "responder"},
                              {"local_public", to_hex(own.public_value())},
                              {"g_ir", to_hex(g_ir.reveal())},
                              {"skeyseed", to_hex(keymat.skeyseed.reveal())},
                              {"sk_d_prime", octets_or_null(keymat.sk_d_prime)},
                              {"sk_d", octets_or_null(keymat.sk_d)},
                              {"keymat", to_hex(keymat.keymat.reveal())},
                              {"lanes", lanes_json(keymat)}}));
}

}  // namespace cygnet::debug
