// SPDX-License-Identifier: Apache-2.0
// Enrolment, renewal and the external CA's queue (docs/controller.md, "Enrolment").
#include <algorithm>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/inbound.h"
#include "cygnet/controller/core/messages.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::controller {
namespace {

/// Renewals draw their request ids from the other half of the space, so that they never meet the
/// driver's.
constexpr std::uint64_t kRenewalIds = std::uint64_t{1} << 63;

std::string label_text(const std::map<std::string, std::string>& labels) {
  std::string out;
  for (const auto& [key, value] : labels) out += (out.empty() ? "" : ",") + key + "=" + value;
  return out;
}

}  // namespace

crypto::CertificateSpec Core::device_certificate(const std::string& name, const Bytes& spki,
                                                 Times now) const {
  const std::string full = name + "." + mesh_.name;
  crypto::CertificateSpec spec;
  spec.spki = spki;
  spec.common_name = full;
  spec.dns_sans = {full};
  spec.uri_sans = {proto::identity_uri(mesh_.id, proto::DeviceName(full))};
  spec.not_before = now.wall - setup_.limits.certificate_backdate;
  spec.not_after = now.wall + setup_.limits.certificate_lifetime;
  spec.client_auth = true;
  return spec;
}

void Core::refuse_enrol(RequestId request, const Error& error, Times now) {
  counters_.add("enrol-refused");
  counters_.add("enrol-refused." + std::string(error.code.name()));
  if (error.code != kErrRate) note(Event::Level::kWarning, "enrol.refused", {}, error.to_string());
  EnrolReplyFields reply;
  reply.refusal = error;
  reply.server_time = now.wall;
  effects_.emplace_back(ReplyEnrol{request, encode_enrol_reply(reply)});
}

void Core::enrol(RequestId request, ByteView octets, Times now) {
  counters_.add("enrol-requests");
  if (!joins_.take(now.mono)) {
    return refuse_enrol(request,
                        Error{kErrRate,
                              "more joins than the limit joins_per_minute allows",
                              {},
                              "try again in a minute"},
                        now);
  }
  const auto fields = decode_enrol_request(octets);
  if (!fields) {
    return refuse_enrol(request,
                        Error{kErrEnrolRequest,
                              "the message is no EnrolRequest",
                              {},
                              "join with cygnet-agent of a matching version"},
                        now);
  }
  if (fields->version_min > kStreamVersionMax || fields->version_max < kStreamVersionMin) {
    return refuse_enrol(request,
                        Error{kErrVersion,
                              "no common version of the device stream",
                              {},
                              "upgrade the older of agent and controller"},
                        now);
  }

  // The token, by its hash: only that is stored.
  const Bytes secret = from_hex(fields->token).value_or(Bytes{});
  const auto hash = crypto::sha256({secret});
  const auto token =
      std::find_if(tokens_.begin(), tokens_.end(), [&](const auto& t) { return t.hash == hash; });
  if (secret.empty() || token == tokens_.end()) {
    return refuse_enrol(request,
                        Error{kErrTokenForged, "this mesh knows no such join token", "join token",
                              "paste the whole line, or make a token: cygnet token create"},
                        now);
  }
  // A device that was given no name takes the one its token is bound to.
  const bool unnamed = fields->device_name.empty() && token->device;
  const std::string name = unnamed ? *token->device : fields->device_name;
  if (!proto::is_dns_label(name)) {
    return refuse_enrol(request,
                        Error{kErrDeviceName, "the device name is no lower-case DNS label",
                              "device name", "use 1 to 63 of a-z, 0-9 and inner hyphens"},
                        now);
  }
  if (token->device && *token->device != name) {
    return refuse_enrol(
        request,
        Error{kErrTokenBound, "the token is bound to device " + *token->device + ", not " + name,
              "join token", "join as " + *token->device + " or make a token for " + name},
        now);
  }
  const auto csr = crypto::parse_csr(fields->csr);
  if (!csr) return refuse_enrol(request, csr.error(), now);
  const std::string full = name + "." + mesh_.name;
  if (!unnamed && csr->dns_san && *csr->dns_san != full) {
    return refuse_enrol(
        request,
        Error{kErrDeviceName, "the request asks for " + *csr->dns_san + ", the join is of " + full,
              "DNS name", "join again"},
        now);
  }

  const auto pin = crypto::sha256({csr->spki});
  const auto index = index_of(name);
  const DeviceEntry* known = index ? find_entry(*index) : nullptr;
  const bool revoked_key = std::any_of(revocations_.begin(), revocations_.end(),
                                       [&](const auto& r) { return r.spki_sha256 == pin; });
  if (revoked_key || (known != nullptr && known->revoked)) {
    return refuse_enrol(request,
                        Error{kErrRevokedDevice,
                              full + " is revoked, its key and name with it",
                              {},
                              "join under another name with a new key"},
                        now);
  }
  // The same device with the same key asks again: its first answer was lost on the way.
  const bool again = known != nullptr && known->record && known->record->spki == csr->spki;
  if (known != nullptr && known->record && !again) {
    return refuse_enrol(request,
                        Error{kErrNameTaken, full + " is enrolled with another key", "device name",
                              "join under another name, or restore the device's state directory"},
                        now);
  }
  const auto waiting =
      std::find_if(csrs_.begin(), csrs_.end(), [&](const auto& c) { return c.device == name; });
  // A request that waits is asked for again with the same token, which is used up by now.
  const bool queued =
      waiting != csrs_.end() && waiting->csr == fields->csr && waiting->token_hash == hash;
  if (!again && !queued) {
    if (token->uses_left == 0) {
      return refuse_enrol(request,
                          Error{kErrTokenSpent, "the token was used before", "join token",
                                "make a new one: cygnet token create"},
                          now);
    }
    if (token->expires_at <= now.wall) {
      return refuse_enrol(request,
                          Error{kErrTokenOld, "the token has expired", "join token",
                                "make a new one: cygnet token create"},
                          now);
    }
  }
  if (setup_.ca_mode == CaMode::kExternal) {
    if (again && known->certificate) {
      finish_enrol(request, Joining{name, hash, false, {}, csr->spki, fields->csr},
                   known->certificate->der(), now);
      return;
    }
    if (queued) {
      EnrolReplyFields reply;
      reply.outcome = EnrolReplyFields::Outcome::kQueued;
      reply.trust = trust_der_;
      reply.mesh_id = mesh_.id;
      reply.mesh_name = mesh_.name;
      reply.retry_after_ms = setup_.limits.external_ca_retry_ms;
      reply.server_time = now.wall;
      effects_.emplace_back(ReplyEnrol{request, encode_enrol_reply(reply)});
      return;
    }
    if (csrs_.size() >= setup_.limits.csr_queue_max) {
      return refuse_enrol(request,
                          Error{kErrRate, "the queue for the external CA is full",
                                "limit csr_queue_max", "sign or drop waiting requests"},
                          now);
    }
  }
  if (waiting != csrs_.end() || joining_names_.contains(name)) {
    return refuse_enrol(request,
                        Error{kErrNameTaken, "another device is joining as " + full, "device name",
                              "join under another name"},
                        now);
  }

  joining_names_.insert(name);
  Joining joining{name,      hash,       !again, again ? known->record->labels : token->labels,
                  csr->spki, fields->csr};
  if (setup_.ca_mode == CaMode::kEmbedded) {
    joining_.emplace(request, joining);
    effects_.emplace_back(SignCertificate{request, device_certificate(name, csr->spki, now)});
    return;
  }
  const store::CsrRecord record{name, fields->csr, hash, now.wall};
  commit(
      [&](store::WriteBatch& batch, Position) {
        if (joining.use_token) batch.add(store::UseToken{hash, now.wall});
        batch.add(store::PutCsr{record});
        batch.add(store::AppendAudit{audit("device:" + full, "device.queue", name, {}, {}, now)});
      },
      [this, request, joining, record](const Status& status, Position, Times when) {
        joining_names_.erase(joining.name);
        if (!status) return refuse_enrol(request, status.error(), when);
        if (joining.use_token) {
          for (auto& t : tokens_) {
            if (t.hash == joining.token_hash) --t.uses_left;
          }
        }
        csrs_.push_back(record);
        counters_.add("enrol-queued");
        note(Event::Level::kInfo, "enrol.queued", joining.name, "waits for the external CA");
        EnrolReplyFields reply;
        reply.outcome = EnrolReplyFields::Outcome::kQueued;
        reply.trust = trust_der_;
        reply.mesh_id = mesh_.id;
        reply.mesh_name = mesh_.name;
        reply.retry_after_ms = setup_.limits.external_ca_retry_ms;
        reply.server_time = when.wall;
        effects_.emplace_back(ReplyEnrol{request, encode_enrol_reply(reply)});
      });
}

void Core::certificate_signed(RequestId request, Result<Bytes> certificate, Times now) {
  if (const auto it = joining_.find(request); it != joining_.end()) {
    const Joining joining = std::move(it->second);
    joining_.erase(it);
    auto parsed = certificate ? crypto::Certificate::from_der(*certificate)
                              : Result<crypto::Certificate>(fail(certificate.error()));
    if (!parsed) {
      joining_names_.erase(joining.name);
      refuse_enrol(request, parsed.error(), now);
      return finish(now);
    }
    const store::DeviceRecord record{
        joining.name, joining.labels, joining.spki, *certificate, store::DeviceState::kActive,
        now.wall};
    const std::string full = joining.name + "." + mesh_.name;
    commit(
        [&](store::WriteBatch& batch, Position at) {
          if (joining.use_token) batch.add(store::UseToken{joining.token_hash, now.wall});
          batch.add(store::PutDevice{record});
          batch.add(store::AdvancePosition{at});
          batch.add(store::AppendAudit{audit("device:" + full, "device.enrol", joining.name, {},
                                             "{\"labels\":\"" + label_text(joining.labels) + "\"}",
                                             now)});
        },
        [this, request, joining, record, parsed = *parsed](const Status& status, Position at,
                                                           Times when) {
          joining_names_.erase(joining.name);
          if (!status) return refuse_enrol(request, status.error(), when);
          if (joining.use_token) {
            for (auto& t : tokens_) {
              if (t.hash == joining.token_hash && t.uses_left > 0) --t.uses_left;
            }
          }
          const DeviceIndex device = names_->intern(joining.name);
          DeviceEntry& known = entry(device);
          known.record = record;
          known.certificate = parsed;
          relay_->advance(at);
          if (policy_ && !policy_->has(device)) {
            policy::DeviceSpec spec;
            spec.name = joining.name;
            for (const auto& [key, value] : joining.labels) spec.labels.push_back({key, value});
            if (const auto delta = policy_->upsert_device(std::move(spec))) {
              apply_delta(*policy_, *delta, at, when);
            }
          }
          finish_enrol(request, joining, record.certificate, when);
        });
    return finish(now);
  }
  if (const auto it = renewing_.find(request); it != renewing_.end()) {
    const Renewing renewing = it->second;
    renewing_.erase(it);
    auto parsed = certificate ? crypto::Certificate::from_der(*certificate)
                              : Result<crypto::Certificate>(fail(certificate.error()));
    if (!parsed) {
      send(renewing.session, encode_not_renewed(parsed.error()));
      return finish(now);
    }
    store::DeviceRecord record = *entry(renewing.device).record;
    record.certificate = *certificate;
    commit(
        [&](store::WriteBatch& batch, Position) {
          batch.add(store::PutDevice{record});
          batch.add(store::AppendAudit{audit("device:" + full_name(renewing.device), "device.renew",
                                             record.name, {}, {}, now)});
        },
        [this, renewing, record, parsed = *parsed](const Status& status, Position, Times) {
          if (!status) {
            send(renewing.session, encode_not_renewed(status.error()));
            return;
          }
          DeviceEntry& known = entry(renewing.device);
          known.record->certificate = record.certificate;
          known.certificate = parsed;
          // Peers that hear the stored DIM from now on get the certificate that is still good.
          relay_->refresh_certificate(renewing.device,
                                      std::make_shared<const Bytes>(record.certificate));
          counters_.add("certificates-renewed");
          note(Event::Level::kInfo, "certificate.renewed", full_name(renewing.device), {});
          send(renewing.session, encode_renewed(record.certificate, trust_der_));
        });
    return finish(now);
  }
}

void Core::finish_enrol(RequestId request, const Joining& joining, const Bytes& certificate,
                        Times now) {
  counters_.add("enrolled");
  note(Event::Level::kInfo, "device.enrolled", joining.name + "." + mesh_.name,
       label_text(joining.labels));
  EnrolReplyFields reply;
  reply.outcome = EnrolReplyFields::Outcome::kIssued;
  reply.certificate = certificate;
  reply.trust = trust_der_;
  reply.mesh_id = mesh_.id;
  reply.mesh_name = mesh_.name;
  reply.server_time = now.wall;
  effects_.emplace_back(ReplyEnrol{request, encode_enrol_reply(reply)});
}

void Core::on_renew(SessionId id, Session& session, const Inbound& inbound, Times now) {
  counters_.add("renewals");
  const auto refuse = [&](const Error& error) {
    counters_.add("renewal-refused." + std::string(error.code.name()));
    send(id, encode_not_renewed(error));
  };
  DeviceEntry& known = entry(session.device);
  if (!known.renewals.take(now.mono)) {
    return refuse(Error{kErrRate,
                        "more renewals than the limit renewals_per_minute allows",
                        {},
                        "renew from half of the certificate's life on"});
  }
  const auto csr = crypto::parse_csr(as_bytes(inbound.message.renew_certificate().csr_der()));
  if (!csr) return refuse(csr.error());
  // "Renewal keeps the key." (protocol section 2)
  if (csr->spki != session.certificate.spki()) {
    return refuse(Error{kErrIdentity, "the request is for another key than the stream's", "CSR",
                        "renew with the same key; a new key is a new join"});
  }
  if (csr->dns_san && *csr->dns_san != session.name) {
    return refuse(Error{kErrIdentity, "the request is for another name than the stream's", "CSR",
                        "ask for " + session.name});
  }
  const std::string name = names_->name(session.device);
  if (setup_.ca_mode == CaMode::kExternal) {
    const auto octets = as_bytes(inbound.message.renew_certificate().csr_der());
    const store::CsrRecord record{name, Bytes(octets.begin(), octets.end()), {}, now.wall};
    commit([&](store::WriteBatch& batch, Position) { batch.add(store::PutCsr{record}); },
           [this, id, record](const Status& status, Position, Times) {
             if (!status) {
               send(id, encode_not_renewed(status.error()));
               return;
             }
             std::erase_if(csrs_, [&](const auto& c) { return c.device == record.device; });
             csrs_.push_back(record);
             note(Event::Level::kInfo, "renewal.queued", record.device,
                  "waits for the external CA");
           });
    return;
  }
  const RequestId request{kRenewalIds | next_renewal_++};
  renewing_.emplace(request, Renewing{id, session.device});
  effects_.emplace_back(
      SignCertificate{request, device_certificate(name, session.certificate.spki(), now)});
}

void Core::import_certificate(RequestId request, const std::string& name, Bytes der,
                              const std::string& who, Times now) {
  const auto waiting =
      std::find_if(csrs_.begin(), csrs_.end(), [&](const auto& c) { return c.device == name; });
  const auto refuse = [&](Error error) {
    operator_done(request, fail(std::move(error)));
    finish(now);
  };
  if (waiting == csrs_.end()) {
    return refuse(Error{kErrNotFoundHere,
                        "no certificate request of " + name + " is waiting",
                        {},
                        "list the requests that wait"});
  }
  auto certificate = crypto::Certificate::from_der(der);
  if (!certificate) return refuse(certificate.error());
  if (auto good = crypto::verify_chain(*certificate, {}, trust_, now.wall); !good) {
    return refuse(good.error());
  }
  const auto identity = proto::identity_of_leaf(*certificate);
  if (!identity) return refuse(identity.error());
  const auto csr = crypto::parse_csr(waiting->csr);
  if (identity->mesh != mesh_.id || identity->device.value() != name + "." + mesh_.name || !csr ||
      csr->spki != certificate->spki()) {
    return refuse(Error{kErrIdentity, "the certificate does not answer the request of " + name,
                        "certificate", "sign the request as it was queued"});
  }
  const auto index = index_of(name);
  const DeviceEntry* known = index ? find_entry(*index) : nullptr;
  std::map<std::string, std::string> labels;
  for (const auto& token : tokens_) {
    if (token.hash == waiting->token_hash) labels = token.labels;
  }
  store::DeviceRecord record{name,    labels, certificate->spki(), der, store::DeviceState::kActive,
                             now.wall};
  if (known != nullptr && known->record) {
    record = *known->record;
    record.certificate = der;
  }
  commit(
      [&](store::WriteBatch& batch, Position at) {
        batch.add(store::PutDevice{record});
        batch.add(store::RemoveCsr{name});
        batch.add(store::AdvancePosition{at});
        batch.add(store::AppendAudit{audit(who, "device.certificate", name, {}, {}, now)});
      },
      [this, request, record, parsed = *certificate](const Status& status, Position at,
                                                     Times when) {
        if (status) {
          std::erase_if(csrs_, [&](const auto& c) { return c.device == record.name; });
          const DeviceIndex device = names_->intern(record.name);
          entry(device).record = record;
          entry(device).certificate = parsed;
          relay_->advance(at);
          if (policy_ && !policy_->has(device)) {
            policy::DeviceSpec spec;
            spec.name = record.name;
            for (const auto& [key, value] : record.labels) spec.labels.push_back({key, value});
            if (const auto delta = policy_->upsert_device(std::move(spec))) {
              apply_delta(*policy_, *delta, at, when);
            }
          }
          if (const auto session = relay_->session_of(device)) {
            relay_->refresh_certificate(device, std::make_shared<const Bytes>(record.certificate));
            send(*session, encode_renewed(record.certificate, trust_der_));
          }
        }
        operator_done(request, status);
      });
  finish(now);
}

}  // namespace cygnet::controller
