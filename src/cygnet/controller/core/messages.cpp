// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/messages.h"

#include "cygnet/device/v1/device.pb.h"

namespace cygnet::controller {
namespace {

namespace pb = cygnet::device::v1;

std::string text_of(ByteView octets) { return std::string(as_text(octets)); }

std::uint64_t ms_of(ServerTime time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

template <class Duration>
std::uint64_t ms_of_duration(Duration duration) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

template <class Message>
Bytes octets_of(const Message& message) {
  Bytes out(message.ByteSizeLong());
  message.SerializeToArray(out.data(), static_cast<int>(out.size()));
  return out;
}

void fill(pb::Refusal& refusal, const Error& error) {
  refusal.set_code(std::string(error.code.name()));
  refusal.set_message(error.where.empty() ? error.message : error.where + ": " + error.message);
  refusal.set_cure(error.cure);
}

void fill(pb::StoredDim& stored, const RelayedDim& dim) {
  stored.set_dim(text_of(*dim.dim));
  stored.set_certificate_der(text_of(*dim.certificate));
  stored.set_accepted_at_ms(ms_of(dim.accepted_at));
}

}  // namespace

Bytes encode_welcome(const WelcomeFields& fields) {
  pb::FromController message;
  pb::Welcome& welcome = *message.mutable_welcome();
  welcome.set_version(fields.version);
  welcome.set_mesh_id(text_of(fields.mesh_id));
  welcome.set_mesh_name(fields.mesh_name);
  welcome.set_server_time_ms(ms_of(fields.server_time));
  if (fields.own_dim != nullptr) fill(*welcome.mutable_own_dim(), *fields.own_dim);
  if (fields.revocations) {
    welcome.mutable_revocations()->ParseFromArray(fields.revocations->data(),
                                                  static_cast<int>(fields.revocations->size()));
  }
  if (fields.settings) {
    welcome.mutable_settings()->ParseFromArray(fields.settings->data(),
                                               static_cast<int>(fields.settings->size()));
  }
  for (const Bytes& der : fields.trust) welcome.add_trust_der(text_of(der));
  welcome.mutable_discovery()->set_udp_port(fields.udp_port);
  welcome.mutable_discovery()->set_cookie(text_of(fields.cookie));
  welcome.set_resumed(fields.resumed);
  return octets_of(message);
}

Bytes encode_accepted(proto::RekeyCounter counter, ServerTime accepted_at) {
  pb::FromController message;
  pb::PublishResult& result = *message.mutable_publish_result();
  result.set_counter(counter.to_wire());
  result.set_accepted(true);
  result.set_accepted_at_ms(ms_of(accepted_at));
  return octets_of(message);
}

Bytes encode_refused(std::uint64_t counter, const Error& error, const RelayedDim* newer) {
  pb::FromController message;
  pb::PublishResult& result = *message.mutable_publish_result();
  result.set_counter(counter);
  fill(*result.mutable_refusal(), error);
  if (newer != nullptr) fill(*result.mutable_newer(), *newer);
  return octets_of(message);
}

Bytes encode_status(proto::RekeyCounter counter, std::span<const std::string> acknowledged,
                    std::uint32_t attached_missing, std::uint32_t unattached_missing) {
  pb::FromController message;
  pb::PublishStatus& status = *message.mutable_publish_status();
  status.set_counter(counter.to_wire());
  for (const auto& name : acknowledged) status.add_acknowledged(name);
  status.set_attached_missing(attached_missing);
  status.set_unattached_missing(unattached_missing);
  return octets_of(message);
}

Bytes encode_rekey(std::string_view reason) {
  pb::FromController message;
  message.mutable_command()->mutable_rekey()->set_reason(std::string(reason));
  return octets_of(message);
}

Bytes encode_missing_newest(std::string_view peer) {
  pb::FromController message;
  message.mutable_command()->mutable_missing_newest()->set_peer(std::string(peer));
  return octets_of(message);
}

Bytes encode_goaway(std::string_view reason, std::uint32_t reconnect_after_ms) {
  pb::FromController message;
  message.mutable_goaway()->set_reason(std::string(reason));
  message.mutable_goaway()->set_reconnect_after_ms(reconnect_after_ms);
  return octets_of(message);
}

std::string goaway_reason(const Error& error) {
  std::string text(error.code.name());
  text += ": ";
  if (!error.where.empty()) text += error.where + ": ";
  text += error.message;
  if (!error.cure.empty()) text += "; " + error.cure;
  return text;
}

Bytes encode_renewed(ByteView certificate, const std::vector<Bytes>& trust) {
  pb::FromController message;
  pb::CertificateRenewed& renewed = *message.mutable_certificate_renewed();
  renewed.set_certificate_der(text_of(certificate));
  for (const Bytes& der : trust) renewed.add_trust_der(text_of(der));
  return octets_of(message);
}

Bytes encode_not_renewed(const Error& error) {
  pb::FromController message;
  fill(*message.mutable_certificate_renewed()->mutable_refusal(), error);
  return octets_of(message);
}

Bytes encode_settings(const policy::Document& document, std::uint64_t version) {
  pb::MeshSettings settings;
  for (const auto& proposal : document.proposals) settings.add_proposals(proposal.text);
  settings.set_rekey_every_ms(ms_of_duration(document.rekey.every));
  settings.set_rekey_jitter_permille(document.rekey.jitter_permille);
  settings.set_rekey_packets(document.rekey.packets);
  settings.set_lifetime_hard_ms(ms_of_duration(document.lifetime));
  settings.set_lanes(document.lanes);
  settings.set_replay_window(document.replay_window);
  settings.set_drain_ms(ms_of_duration(document.drain));
  settings.set_forget_cap_ms(ms_of_duration(document.forget_cap));
  settings.set_ppk_mandatory(document.ppk_mandatory);
  settings.set_derive_eager(document.derive == policy::Derive::kEager);
  settings.set_policy_version(version);
  for (const auto& entry : document.rekeyed) {
    settings.add_rekeyed(entry.name + "." + document.mesh);
  }
  return octets_of(settings);
}

void append_own_prefixes(Bytes& settings, const std::vector<policy::PrefixSpec>& prefixes) {
  // Concatenated protobuf messages merge, repeated fields append.
  pb::MeshSettings more;
  for (const auto& spec : prefixes) {
    pb::Prefix& prefix = *more.add_own_prefixes();
    prefix.set_address(text_of(spec.net.octets()));
    prefix.set_length(spec.net.length);
    prefix.set_priority(spec.priority);
  }
  const Bytes octets = octets_of(more);
  settings.insert(settings.end(), octets.begin(), octets.end());
}

Bytes encode_revocations(std::uint64_t number,
                         const std::vector<store::RevocationRecord>& revocations) {
  pb::Revocations message;
  message.set_number(number);
  for (const auto& revocation : revocations) {
    message.add_spki_sha256(text_of(revocation.spki_sha256));
    if (!revocation.serial.empty()) message.add_serials(text_of(revocation.serial));
  }
  return octets_of(message);
}

std::optional<EnrolRequestFields> decode_enrol_request(ByteView octets) {
  pb::EnrolRequest request;
  if (!request.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return std::nullopt;
  const ByteView csr = as_bytes(request.csr_der());
  return EnrolRequestFields{request.token(), request.device_name(), Bytes(csr.begin(), csr.end()),
                            request.version_min(), request.version_max()};
}

Bytes encode_enrol_reply(const EnrolReplyFields& fields) {
  pb::EnrolReply reply;
  switch (fields.outcome) {
    case EnrolReplyFields::Outcome::kIssued:
      reply.set_outcome(pb::EnrolReply::ISSUED);
      break;
    case EnrolReplyFields::Outcome::kQueued:
      reply.set_outcome(pb::EnrolReply::QUEUED);
      break;
    case EnrolReplyFields::Outcome::kRefused:
      reply.set_outcome(pb::EnrolReply::REFUSED);
      break;
  }
  reply.set_server_time_ms(ms_of(fields.server_time));
  reply.set_retry_after_ms(fields.retry_after_ms);
  if (fields.refusal) {
    fill(*reply.mutable_refusal(), *fields.refusal);
    return octets_of(reply);  // whoever is refused learns nothing about the mesh
  }
  reply.set_certificate_der(text_of(fields.certificate));
  for (const Bytes& der : fields.trust) reply.add_trust_der(text_of(der));
  reply.set_mesh_id(text_of(fields.mesh_id));
  reply.set_mesh_name(fields.mesh_name);
  return octets_of(reply);
}

}  // namespace cygnet::controller
