// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/link/convert.h"

#include <net/if.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "cygnet/device/v1/device.pb.h"
#include "cygnet/proto/dim/dim.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::agent {
namespace {

namespace pb = ::cygnet::device::v1;

constexpr std::uint64_t kDurationMaxMs = 400ULL * 24 * 3600 * 1000;
constexpr std::uint32_t kReplayWindowMax = 65536;

Bytes bytes_of(const std::string& text) { return Bytes(text.begin(), text.end()); }
std::string text_of(ByteView octets) { return std::string(as_text(octets)); }
ServerTime server_time(std::uint64_t ms) {
  return ServerTime(std::chrono::milliseconds(static_cast<std::int64_t>(ms & 0x7fffffffffffffff)));
}

tl::unexpected<Error> refuse(std::string what) {
  return fail(
      kErrMessage, std::move(what), "message from the controller",
      "controller and agent are of versions that do not fit, or the controller is at fault");
}

Result<proto::DeviceName> name_from(const std::string& text, const char* field) {
  auto name = proto::parse_device_name(text);
  if (!name) return refuse(std::string(field) + " is no device name");
  return name;
}

Result<IpAddress> address_from(const std::string& octets, const char* field) {
  if (octets.size() != 4 && octets.size() != 16) {
    return refuse(std::string(field) + " is no IPv4 or IPv6 address");
  }
  IpAddress address;
  address.is_v6 = octets.size() == 16;
  std::copy(octets.begin(), octets.end(), address.octets.begin());
  return address;
}

// Bits outside the prefix are cleared: two spellings of one prefix would be two routes.
Result<IpPrefix> prefix_from(const pb::Prefix& message) {
  CYGNET_TRY(IpAddress address, address_from(message.address(), "prefix.address"));
  const std::uint32_t bits = address.is_v6 ? 128 : 32;
  if (message.length() > bits) return refuse("prefix.length is above " + std::to_string(bits));
  for (std::uint32_t bit = message.length(); bit < bits; ++bit) {
    address.octets[bit / 8] =
        static_cast<std::uint8_t>(address.octets[bit / 8] & ~(0x80U >> (bit % 8)));
  }
  return IpPrefix{address, static_cast<std::uint8_t>(message.length())};
}

template <class List>
Result<std::vector<IpPrefix>> prefixes_from(const List& list) {
  std::vector<IpPrefix> prefixes;
  for (const pb::Prefix& item : list) {
    CYGNET_TRY(const IpPrefix prefix, prefix_from(item));
    prefixes.push_back(prefix);
  }
  return prefixes;
}

Result<UdpEndpoint> endpoint_from(const pb::Endpoint& message) {
  UdpEndpoint endpoint;
  CYGNET_TRY(endpoint.address, address_from(message.address(), "endpoint.address"));
  if (message.port() == 0 || message.port() > 65535) return refuse("endpoint.port is no port");
  endpoint.port = static_cast<std::uint16_t>(message.port());
  if (!message.interface().empty()) endpoint.scope_id = if_nametoindex(message.interface().c_str());
  return endpoint;
}

// A peer's DIM may be anything: one that no check would pass is that peer's refusal (dim-size,
// dim-form), not the end of the stream that carries everybody else's.
StoredDim peer_dim_from(const pb::StoredDim& message) {
  return StoredDim{bytes_of(message.dim()), bytes_of(message.certificate_der()),
                   server_time(message.accepted_at_ms())};
}

Result<StoredDim> own_dim_from(const pb::StoredDim& message) {
  if (message.dim().empty() || message.dim().size() > proto::kDimLengthMax) {
    return refuse("an own DIM of " + std::to_string(message.dim().size()) + " octets");
  }
  return peer_dim_from(message);
}

Result<Duration> duration_from(std::uint64_t ms, Duration fallback, const char* field) {
  if (ms == 0) return fallback;
  if (ms > kDurationMaxMs) return refuse(std::string(field) + " is out of range");
  return Duration(std::chrono::milliseconds(ms));
}

// 0 is "not given" everywhere: the defaults of docs/protocol.md section 8 stand.
Result<MeshSettings> settings_from(const pb::MeshSettings& message) {
  MeshSettings settings;
  settings.proposals.assign(message.proposals().begin(), message.proposals().end());
  CYGNET_TRY(settings.rekey_every,
             duration_from(message.rekey_every_ms(), settings.rekey_every, "rekey_every_ms"));
  CYGNET_TRY(settings.lifetime_hard,
             duration_from(message.lifetime_hard_ms(), settings.lifetime_hard, "lifetime_hard_ms"));
  CYGNET_TRY(settings.drain, duration_from(message.drain_ms(), settings.drain, "drain_ms"));
  CYGNET_TRY(settings.forget_cap,
             duration_from(message.forget_cap_ms(), settings.forget_cap, "forget_cap_ms"));
  if (message.rekey_jitter_permille() > 500) return refuse("rekey_jitter_permille is above 500");
  settings.rekey_jitter_permille = message.rekey_jitter_permille();
  settings.rekey_packets = message.rekey_packets();
  if (message.lanes() > proto::kLanesMax) return refuse("lanes is above 64");
  settings.lanes = static_cast<std::uint16_t>(std::max(1U, message.lanes()));
  if (message.replay_window() > kReplayWindowMax) return refuse("replay_window is above 65536");
  if (message.replay_window() != 0) settings.replay_window = message.replay_window();
  settings.ppk_mandatory = message.ppk_mandatory();
  settings.derive_eager = message.derive_eager();
  settings.policy_version = message.policy_version();
  settings.rekeyed.insert(message.rekeyed().begin(), message.rekeyed().end());
  CYGNET_TRY(settings.own_prefixes, prefixes_from(message.own_prefixes()));
  return settings;
}

Result<Revocations> revocations_from(const pb::Revocations& message) {
  Revocations revocations;
  revocations.number = message.number();
  for (const std::string& key : message.spki_sha256()) {
    crypto::Sha256 hash{};
    if (key.size() != hash.size()) return refuse("revocations.spki_sha256 has a wrong length");
    std::copy(key.begin(), key.end(), hash.begin());
    revocations.keys.insert(hash);
  }
  for (const std::string& serial : message.serials()) revocations.serials.insert(bytes_of(serial));
  return revocations;
}

std::vector<Bytes> list_of(const google::protobuf::RepeatedPtrField<std::string>& list) {
  std::vector<Bytes> out;
  for (const std::string& item : list) out.push_back(bytes_of(item));
  return out;
}

Result<WelcomeMessage> welcome_from(const pb::Welcome& message) {
  if (message.version() < kStreamVersionMin || message.version() > kStreamVersionMax) {
    return refuse("the controller wants version " + std::to_string(message.version()) +
                  " of the stream");
  }
  WelcomeMessage out;
  const auto mesh = proto::mesh_id_from_octets(as_bytes(message.mesh_id()));
  if (!mesh) return refuse("mesh_id is not 16 octets");
  out.mesh = *mesh;
  out.mesh_name = message.mesh_name();
  out.trust = list_of(message.trust_der());
  out.welcome.server_time = server_time(message.server_time_ms());
  out.welcome.resumed = message.resumed();
  if (message.has_own_dim()) {
    CYGNET_TRY(out.welcome.own_dim, own_dim_from(message.own_dim()));
  }
  CYGNET_TRY(out.welcome.revocations, revocations_from(message.revocations()));
  CYGNET_TRY(out.welcome.settings, settings_from(message.settings()));
  if (message.has_discovery() && message.discovery().udp_port() != 0) {
    DiscoverySettings discovery;
    if (message.discovery().udp_port() > 65535 ||
        message.discovery().cookie().size() != discovery.cookie.size()) {
      return refuse("discovery has a wrong port or cookie");
    }
    discovery.udp_port = static_cast<std::uint16_t>(message.discovery().udp_port());
    std::copy(message.discovery().cookie().begin(), message.discovery().cookie().end(),
              discovery.cookie.begin());
    out.discovery = discovery;
  }
  return out;
}

Result<Cursor> cursor_from(const pb::Cursor& message) {
  if (message.epoch().empty() || message.epoch().size() > 64)
    return refuse("cursor.epoch is empty");
  return Cursor{bytes_of(message.epoch()), message.position()};
}

Result<PeerChange> change_from(const pb::PeerChange& message) {
  PeerChange change;
  CYGNET_TRY(change.device, name_from(message.device(), "change.device"));
  change.removed = message.removed();
  if (message.has_dim()) change.dim = peer_dim_from(message.dim());
  if (message.has_endpoints()) {
    change.endpoints.emplace();
    for (const pb::Endpoint& item : message.endpoints().items()) {
      CYGNET_TRY(const UdpEndpoint endpoint, endpoint_from(item));
      change.endpoints->push_back(endpoint);
    }
  }
  if (message.has_prefixes()) {
    CYGNET_TRY(change.prefixes, prefixes_from(message.prefixes().items()));
  }
  if (message.has_policy()) {
    change.policy =
        PairPolicy{message.policy().mode() == pb::PairPolicy::ON_DEMAND, message.policy().via()};
  }
  return change;
}

Result<Update> update_from(const pb::Update& message) {
  Update update;
  update.snapshot_begin = message.snapshot_begin();
  update.snapshot_end = message.snapshot_end();
  for (const pb::PeerChange& item : message.changes()) {
    CYGNET_TRY(PeerChange change, change_from(item));
    update.changes.push_back(std::move(change));
  }
  if (message.has_cursor()) {
    CYGNET_TRY(update.cursor, cursor_from(message.cursor()));
  }
  if (message.has_settings()) {
    CYGNET_TRY(update.settings, settings_from(message.settings()));
  }
  if (message.has_revocations()) {
    CYGNET_TRY(update.revocations, revocations_from(message.revocations()));
  }
  return update;
}

Result<PublishResult> result_from(const pb::PublishResult& message) {
  PublishResult result;
  result.counter = proto::RekeyCounter::from_wire(message.counter());
  result.accepted = message.accepted();
  result.accepted_at = server_time(message.accepted_at_ms());
  result.refusal_code = message.refusal().code();
  result.refusal_message = message.refusal().message();
  if (message.has_newer()) {
    CYGNET_TRY(result.newer, own_dim_from(message.newer()));
  }
  return result;
}

void write(const UdpEndpoint& endpoint, pb::Endpoint& message) {
  message.set_address(
      text_of(ByteView(endpoint.address.octets).first(endpoint.address.is_v6 ? 16 : 4)));
  message.set_port(endpoint.port);
  message.set_origin(pb::Endpoint::CONFIGURED);
}

Bytes serialize(const pb::FromDevice& message) { return bytes_of(message.SerializeAsString()); }

}  // namespace

Result<ControllerMessage> decode_controller_message(ByteView octets) {
  pb::FromController message;
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) {
    return refuse("it is no FromController message");
  }
  switch (message.message_case()) {
    case pb::FromController::kWelcome: {
      CYGNET_TRY(auto out, welcome_from(message.welcome()));
      return out;
    }
    case pb::FromController::kUpdate: {
      CYGNET_TRY(auto out, update_from(message.update()));
      return out;
    }
    case pb::FromController::kPublishResult: {
      CYGNET_TRY(auto out, result_from(message.publish_result()));
      return out;
    }
    case pb::FromController::kPublishStatus: {
      const pb::PublishStatus& status = message.publish_status();
      return PublishStatus{proto::RekeyCounter::from_wire(status.counter()),
                           {status.acknowledged().begin(), status.acknowledged().end()},
                           status.attached_missing(),
                           status.unattached_missing()};
    }
    case pb::FromController::kCommand:
      if (message.command().has_rekey()) return RekeyCommand{message.command().rekey().reason()};
      if (message.command().has_missing_newest()) {
        CYGNET_TRY(auto name, name_from(message.command().missing_newest().peer(), "peer"));
        return MissingNewestCommand{std::move(name)};
      }
      return UnknownMessage{};
    case pb::FromController::kGoaway:
      return GoawayMessage{message.goaway().reason(),
                           std::chrono::milliseconds(message.goaway().reconnect_after_ms())};
    case pb::FromController::kCertificateRenewed: {
      const pb::CertificateRenewed& renewed = message.certificate_renewed();
      RenewedMessage out{bytes_of(renewed.certificate_der()), list_of(renewed.trust_der()), {}};
      if (renewed.has_refusal()) {
        out.refusal = refusal_error(renewed.refusal().code(), renewed.refusal().message(),
                                    renewed.refusal().cure());
      }
      return out;
    }
    case pb::FromController::MESSAGE_NOT_SET:
      break;
  }
  return UnknownMessage{};
}

Bytes encode_hello(const HelloMessage& hello) {
  pb::FromDevice message;
  pb::Hello& out = *message.mutable_hello();
  out.set_version_min(kStreamVersionMin);
  out.set_version_max(kStreamVersionMax);
  for (const std::string& item : hello.capabilities) out.add_capabilities(item);
  if (hello.resume) {
    out.mutable_resume()->set_epoch(text_of(hello.resume->epoch));
    out.mutable_resume()->set_position(hello.resume->position);
  }
  out.set_revocation_number(hello.revocation_number);
  for (const UdpEndpoint& endpoint : hello.endpoints) write(endpoint, *out.add_endpoints());
  out.set_software(hello.software);
  for (const proto::DeviceName& peer : hello.held) out.add_held(peer.value());
  return serialize(message);
}

Bytes encode_publish(ByteView dim) {
  pb::FromDevice message;
  message.mutable_publish_dim()->set_dim(text_of(dim));
  return serialize(message);
}

Bytes encode_ack(const AckMessage& ack) {
  pb::FromDevice message;
  pb::Ack& out = *message.mutable_ack();
  out.mutable_cursor()->set_epoch(text_of(ack.cursor.epoch));
  out.mutable_cursor()->set_position(ack.cursor.position);
  for (const AckMessage::Pending& item : ack.pending) {
    auto* p = out.add_pending();
    p->set_device(item.device.value());
    p->set_counter(item.counter.to_wire());
  }
  return serialize(message);
}

Bytes encode_report(const Report& report) {
  pb::FromDevice message;
  pb::Report& out = *message.mutable_report();
  std::visit(
      [&out](const auto& r) {
        using T = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<T, BadSpiReport>) {
          out.mutable_bad_spi()->set_spi(r.spi);
          out.mutable_bad_spi()->set_source(
              text_of(ByteView(r.source.address.octets).first(r.source.address.is_v6 ? 16 : 4)));
          out.mutable_bad_spi()->set_count(r.count);
        } else if constexpr (std::is_same_v<T, RefusedReport>) {
          out.mutable_refused()->set_device(r.device.value());
          out.mutable_refused()->set_counter(r.counter.to_wire());
          out.mutable_refused()->set_code(r.code);
          out.mutable_refused()->set_message(r.message);
          out.mutable_refused()->set_evidence(text_of(r.evidence));
        } else if constexpr (std::is_same_v<T, NoProposalReport>) {
          out.mutable_no_proposal()->set_peer(r.peer.value());
          out.mutable_no_proposal()->set_local(r.pair.local.to_wire());
          out.mutable_no_proposal()->set_remote(r.pair.remote.to_wire());
        } else if constexpr (std::is_same_v<T, SaEventReport>) {
          out.mutable_sa_event()->set_peer(r.peer.value());
          out.mutable_sa_event()->set_local(r.pair.local.to_wire());
          out.mutable_sa_event()->set_remote(r.pair.remote.to_wire());
          out.mutable_sa_event()->set_event(r.event);
          out.mutable_sa_event()->set_detail(r.detail);
        } else {
          static_assert(std::is_same_v<T, AlarmReport>);
          out.mutable_alarm()->set_code(r.code);
          out.mutable_alarm()->set_message(r.message);
        }
      },
      report);
  return serialize(message);
}

Bytes encode_want(const proto::DeviceName& device) {
  pb::FromDevice message;
  message.mutable_want()->set_device(device.value());
  return serialize(message);
}

Bytes encode_renewal(ByteView csr) {
  pb::FromDevice message;
  message.mutable_renew_certificate()->set_csr_der(text_of(csr));
  return serialize(message);
}

Bytes encode_enrol_request(const EnrolRequestMessage& request) {
  pb::EnrolRequest message;
  message.set_token(request.token);
  message.set_device_name(request.device_name);
  message.set_csr_der(text_of(request.csr));
  message.set_version_min(kStreamVersionMin);
  message.set_version_max(kStreamVersionMax);
  return bytes_of(message.SerializeAsString());
}

Result<EnrolReplyMessage> decode_enrol_reply(ByteView octets) {
  pb::EnrolReply message;
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) {
    return refuse("it is no EnrolReply message");
  }
  if (message.outcome() == pb::EnrolReply::QUEUED) {
    return EnrolQueued{std::chrono::milliseconds(std::max(message.retry_after_ms(), 1000U))};
  }
  if (message.outcome() == pb::EnrolReply::REFUSED) {
    return EnrolRefused{refusal_error(message.refusal().code(), message.refusal().message(),
                                      message.refusal().cure())};
  }
  if (message.outcome() != pb::EnrolReply::ISSUED) return refuse("the enrolment has no outcome");
  EnrolIssued issued{bytes_of(message.certificate_der()),
                     list_of(message.trust_der()),
                     {},
                     message.mesh_name(),
                     server_time(message.server_time_ms())};
  const auto mesh = proto::mesh_id_from_octets(as_bytes(message.mesh_id()));
  if (!mesh) return refuse("mesh_id is not 16 octets");
  issued.mesh = *mesh;
  return issued;
}

// Codes refer to static storage; those that come over the wire are kept for the process's life, in
// bounded number.
Error refusal_error(const std::string& code, const std::string& message, const std::string& cure) {
  static std::mutex mutex;
  static std::set<std::string> codes;
  constexpr std::size_t kCodesMax = 256;
  const std::lock_guard lock(mutex);
  auto it = codes.find(code);
  if (it == codes.end()) {
    it = codes.insert(codes.size() < kCodesMax && code.size() <= 64 ? code : "refused").first;
  }
  return Error{ErrorCode(*it), message, "controller", cure};
}

}  // namespace cygnet::agent
