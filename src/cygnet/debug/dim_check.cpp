// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/dim/dim_check.h"

#include <algorithm>

#include "cygnet/debug/verbs.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::debug {
namespace {

constexpr std::uint64_t kTimeMax = 253402300799999;  // end of the year 9999, in milliseconds

// PEM text (any number of certificates) or hex of one DER.
Result<std::vector<crypto::Certificate>> certificates_of(const Json& json,
                                                         const std::string& path) {
  CYGNET_TRY(const std::string text, text_of(json, path));
  const auto named = [&path](Error error) {
    error.message = "field " + path + ": " + error.message;
    return fail(std::move(error));
  };
  if (text.find("-----BEGIN") != std::string::npos) {
    Result<std::vector<crypto::Certificate>> list = crypto::Certificate::list_from_pem(text);
    if (!list) return named(std::move(list).error());
    return list;
  }
  CYGNET_TRY(const Bytes der, octets_of(json, path));
  Result<crypto::Certificate> one = crypto::Certificate::from_der(der);
  if (!one) return named(std::move(one).error());
  return std::vector<crypto::Certificate>{std::move(*one)};
}

Result<std::vector<crypto::Certificate>> certificate_list(Fields& fields, std::string_view name) {
  CYGNET_TRY(const Json* list, fields.array(name));
  std::vector<crypto::Certificate> out;
  std::size_t index = 0;
  for (const Json& item : *list) {
    const std::string path = fields.path_of(name) + "[" + std::to_string(index++) + "]";
    CYGNET_TRY(std::vector<crypto::Certificate> some, certificates_of(item, path));
    out.insert(out.end(), some.begin(), some.end());
  }
  return out;
}

struct HeldDim {
  Bytes octets;
  proto::Dim dim;
};
Result<HeldDim> held_dim(const Json& json, const std::string& path) {
  HeldDim out;
  CYGNET_TRY(out.octets, octets_of(json, path));
  Result<proto::Dim> dim = proto::decode_dim(out.octets);
  if (!dim) return fail(std::move(dim).error().within("field " + path));
  out.dim = std::move(*dim);
  return out;
}

// What the caller knows beside the DIM; what is left out leaves its check not run.
struct Knowledge {
  std::optional<HeldDim> previous;
  std::optional<HeldDim> local;
  std::vector<HeldDim> held;
  bool has_held = false;
  std::optional<std::vector<Bytes>> revoked;
  std::optional<crypto::Sha256> pin;
  std::optional<std::vector<std::string>> allowed;
};

Result<crypto::Sha256> sha256_of(const Json& json, const std::string& path) {
  CYGNET_TRY(const Bytes octets, octets_of(json, path));
  crypto::Sha256 out{};
  if (octets.size() != out.size()) {
    return fail(kErrRange, "field " + path + " has not the 32 octets of a SHA-256");
  }
  std::copy(octets.begin(), octets.end(), out.begin());
  return out;
}

Result<Knowledge> read_knowledge(const Json& json, Fields& fields) {
  Knowledge out;
  if (fields.has("previous")) {
    CYGNET_TRY(out.previous, held_dim(json["previous"], "previous"));
  }
  if (fields.has("local")) {
    CYGNET_TRY(out.local, held_dim(json["local"], "local"));
  }
  if (fields.has("pin")) {
    CYGNET_TRY(out.pin, sha256_of(json["pin"], "pin"));
  }
  out.has_held = fields.has("held") || out.local.has_value();
  if (fields.has("held")) {
    CYGNET_TRY(const Json* list, fields.array("held"));
    for (const Json& item : *list) {
      CYGNET_TRY(HeldDim held, held_dim(item, "held[" + std::to_string(out.held.size()) + "]"));
      out.held.push_back(std::move(held));
    }
  }
  if (fields.has("revoked")) {
    out.revoked.emplace();
    CYGNET_TRY(const Json* list, fields.array("revoked"));
    for (const Json& item : *list) {
      CYGNET_TRY(Bytes entry,
                 octets_of(item, "revoked[" + std::to_string(out.revoked->size()) + "]"));
      out.revoked->push_back(std::move(entry));
    }
  }
  if (fields.has("allowed")) {
    out.allowed.emplace();
    CYGNET_TRY(const Json* list, fields.array("allowed"));
    for (const Json& item : *list) {
      CYGNET_TRY(std::string name,
                 text_of(item, "allowed[" + std::to_string(out.allowed->size()) + "]"));
      out.allowed->push_back(std::move(name));
    }
  }
  return out;
}

void apply(const Knowledge& known, proto::DimCheckContext& context) {
  using proto::DeviceName;
  if (known.previous) {
    context.last_accepted = [&known](const DeviceName& device) -> std::optional<proto::KnownDim> {
      if (known.previous->dim.device != device) return std::nullopt;
      return proto::KnownDim{known.previous->dim.counter,
                             proto::dim_digest(known.previous->octets)};
    };
  }
  if (known.allowed) {
    context.pad_allows = [&known](const DeviceName& device) {
      return std::find(known.allowed->begin(), known.allowed->end(), device.value()) !=
             known.allowed->end();
    };
  }
  if (known.revoked) {
    context.is_revoked = [&known](const crypto::Certificate& certificate) {
      const crypto::Sha256 spki = certificate.spki_hash();
      const Bytes serial = certificate.serial();
      return std::any_of(known.revoked->begin(), known.revoked->end(), [&](const Bytes& entry) {
        return equal(entry, spki) || equal(entry, serial);
      });
    };
  }
  if (known.pin) {
    context.pin = [&known](const DeviceName&,
                           const crypto::Sha256&) -> std::optional<proto::KeyPin> {
      return proto::KeyPin{*known.pin, false};
    };
  }
  if (known.has_held) {
    context.nonce_holder = [&known](const DeviceName& device,
                                    ByteView nonce) -> std::optional<std::string> {
      if (known.local && equal(known.local->dim.nonce, nonce)) return "the local DIM";
      for (const HeldDim& held : known.held) {
        if (held.dim.device != device && equal(held.dim.nonce, nonce)) {
          return held.dim.device.value();
        }
      }
      return std::nullopt;
    };
  }
  if (known.local) context.local = &known.local->dim;
}

Json agreement_json(const proto::Agreement& agreement) {
  return {{"role", agreement.local_role == proto::Role::kInitiator ? "initiator" : "responder"},
          {"policy", proto::to_string(agreement.policy)},
          {"spn", {agreement.spn_i, agreement.spn_r}},
          {"lanes", agreement.lanes},
          {"ppk_id", agreement.ppk_id ? Json(to_hex(*agreement.ppk_id)) : Json(nullptr)}};
}

Json result_json(const proto::DimCheckResult& result) {
  Json checks = Json::array();
  for (const proto::CheckResult& check : result.checks) {
    Json entry = {{"name", proto::to_string(check.check)},
                  {"outcome", proto::to_string(check.outcome)}};
    if (check.error) entry["error"] = error_json(*check.error);
    checks.push_back(std::move(entry));
  }
  Json out = {{"verdict", proto::to_string(result.verdict)}, {"checks", checks}};
  if (result.dim) {
    out["device"] = result.dim->dim.device.value();
    out["counter"] = proto::to_string(result.dim->dim.counter);
    out["digest"] = to_hex(result.dim->digest);
    out["initial_contact"] = result.treat_as_initial_contact;
  }
  if (result.agreement) out["agreement"] = agreement_json(*result.agreement);
  if (result.error) out["error"] = error_json(*result.error);
  return out;
}

}  // namespace

Result<Answer> dim_check(const Json& json, ServerTime now) {
  CYGNET_TRY(Fields fields, Fields::of(json, ""));
  CYGNET_TRY(const Bytes dim, fields.octets("dim"));
  CYGNET_CHECK_OK(fields.text("certificate").map([](const std::string&) {}));
  CYGNET_TRY(const std::vector<crypto::Certificate> leaf,
             certificates_of(json["certificate"], "certificate"));
  if (leaf.size() != 1) {
    return fail(crypto::kErrCertificate, "field certificate holds " + std::to_string(leaf.size()) +
                                             " certificates, not one");
  }
  proto::DimCheckContext context;
  CYGNET_TRY(context.trust, certificate_list(fields, "trust"));
  if (fields.has("intermediates")) {
    CYGNET_TRY(context.intermediates, certificate_list(fields, "intermediates"));
  }
  CYGNET_TRY(const std::string mesh, fields.text("mesh_id"));
  CYGNET_TRY(context.mesh, proto::mesh_id_from_text(mesh));
  context.now = now;
  if (fields.has("now_ms")) {
    CYGNET_TRY(const std::uint64_t now_ms, fields.number("now_ms", kTimeMax));
    context.now = ServerTime(std::chrono::milliseconds(now_ms));
  }
  CYGNET_TRY(const Knowledge known, read_knowledge(json, fields));
  CYGNET_CHECK_OK(fields.done());
  apply(known, context);

  const proto::DimCheckResult result = proto::check_dim(dim, leaf.front().der(), context);
  const bool good =
      result.verdict == proto::DimVerdict::kAccepted || result.verdict == proto::DimVerdict::kSame;
  return Answer{result_json(result), !good};
}

}  // namespace cygnet::debug
