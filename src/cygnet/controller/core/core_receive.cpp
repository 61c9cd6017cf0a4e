// SPDX-License-Identifier: Apache-2.0
// Device streams: who connects, Hello, and the messages that are not publishes or reports.
#include <algorithm>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/inbound.h"
#include "cygnet/controller/core/messages.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::controller {
namespace {

std::vector<Endpoint> endpoints_of(const google::protobuf::RepeatedPtrField<pb::Endpoint>& list,
                                   std::size_t most) {
  std::vector<Endpoint> out;
  for (const auto& item : list) {
    if (out.size() == most) break;
    const ByteView address = as_bytes(item.address());
    if ((address.size() != 4 && address.size() != 16) || item.port() == 0 || item.port() > 65535) {
      continue;
    }
    out.push_back({Bytes(address.begin(), address.end()),
                   static_cast<std::uint16_t>(item.port()),
                   item.origin() == pb::Endpoint::LEARNED ? EndpointOrigin::kLearned
                                                          : EndpointOrigin::kConfigured,
                   {}});
  }
  return out;
}

}  // namespace

void Core::connected(SessionId id, const PeerCertificate& peer, const Cookie& cookie, Times now) {
  Session& session = sessions_
                         .emplace(id, Session{0,
                                              {},
                                              peer.leaf,
                                              cookie,
                                              false,
                                              false,
                                              false,
                                              {},
                                              {},
                                              RateLimit(setup_.limits.messages_per_minute)})
                         .first->second;
  counters_.add("sessions");
  const auto refuse = [&](const Error& error) {
    counters_.add("session-refused." + std::string(error.code.name()));
    note(Event::Level::kWarning, "session.refused", session.name, error.to_string());
    go_away(id, error, 60'000);
    finish(now);
  };

  // "Identity is read from the verified leaf only, never from a header, a message field or an
  // unverified certificate." (protocol section 2)
  const auto identity = proto::identity_of_leaf(peer.leaf);
  if (!identity) return refuse(identity.error());
  session.name = identity->device.value();
  if (identity->mesh != mesh_.id) {
    return refuse(Error{kErrIdentity, "the certificate of " + session.name + " is of another mesh",
                        "URI name", "join this mesh with a token of it"});
  }
  const auto index = index_of_full(session.name);
  const DeviceEntry* known = index ? find_entry(*index) : nullptr;
  if (known == nullptr || !known->record) {
    return refuse(Error{kErrUnknownDevice,
                        session.name + " is not enrolled here",
                        {},
                        "join with a token of this mesh"});
  }
  session.device = *index;
  if (known->revoked || key_revoked(peer.leaf)) {
    return refuse(Error{kErrRevokedDevice,
                        session.name + " is revoked",
                        {},
                        "join under another name with a new key"});
  }
  if (known->record->spki != peer.leaf.spki()) {
    return refuse(Error{kErrIdentity,
                        session.name + " is enrolled with another key",
                        {},
                        "join again with a token"});
  }
  if (now.wall > peer.leaf.not_after()) {
    if (now.wall > peer.leaf.not_after() + setup_.limits.renewal_grace) {
      return refuse(Error{
          kErrCertificateGrace,
          "the certificate of " + session.name + " ended longer ago than the grace for renewals",
          {},
          "join again with a token"});
    }
    session.expired = true;
  }
  cookies_[cookie] = id;
  finish(now);
}

void Core::disconnected(SessionId id, Times now) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const DeviceIndex device = it->second.device;
  const std::string name = it->second.name;
  cookies_.erase(it->second.cookie);
  const bool was_attached = it->second.greeted && relay_->session_of(device) == id;
  sessions_.erase(it);
  if (was_attached) {
    relay_->detach(device, now.mono);
    entry(device).last_seen = now.wall;
    note(Event::Level::kInfo, "device.away", name, "the stream ended");
  }
  finish(now);
}

void Core::received(SessionId id, ByteView octets, Times now) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end() || it->second.closing) return;
  Session& session = it->second;
  counters_.add("messages-received");
  const auto violate = [&](std::string message, std::string cure) {
    go_away(id, Error{kErrProtocol, std::move(message), session.name, std::move(cure)}, 5000);
    finish(now);
  };
  if (!session.messages.take(now.mono)) {
    go_away(id,
            Error{kErrRate, "more messages than messages_per_minute allows", session.name,
                  "send less often"},
            60'000);
    return finish(now);
  }
  Inbound inbound;
  if (!inbound.message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) {
    return violate("a message is no FromDevice", "speak cygnet.device.v1");
  }
  entry(session.device).last_seen = now.wall;
  const auto kind = inbound.message.message_case();
  if (!session.greeted && kind != pb::FromDevice::kHello) {
    return violate("the first message is no Hello", "say Hello first");
  }
  switch (kind) {
    case pb::FromDevice::kHello:
      if (session.greeted) return violate("Hello was said twice", "say Hello once a stream");
      on_hello(id, session, inbound, now);
      break;
    case pb::FromDevice::kPublishDim:
      on_publish(id, session, as_bytes(inbound.message.publish_dim().dim()), now);
      break;
    case pb::FromDevice::kWant:
      on_want(id, session, inbound, now);
      break;
    case pb::FromDevice::kReport:
      on_report(session, inbound, now);
      break;
    case pb::FromDevice::kAck:
      on_ack(session, inbound, now);
      break;
    case pb::FromDevice::kRenewCertificate:
      on_renew(id, session, inbound, now);
      break;
    case pb::FromDevice::kEndpointUpdate:
      on_endpoints(session, inbound, now);
      break;
    case pb::FromDevice::MESSAGE_NOT_SET:
      // "unknown fields are kept and ignored": a message of a newer minor version.
      counters_.add("messages-unknown");
      break;
  }
  finish(now);
}

void Core::on_hello(SessionId id, Session& session, const Inbound& inbound, Times now) {
  const pb::Hello& hello = inbound.message.hello();
  if (hello.version_min() > kStreamVersionMax || hello.version_max() < kStreamVersionMin) {
    go_away(
        id,
        Error{kErrVersion,
              session.name + " speaks stream versions " + std::to_string(hello.version_min()) +
                  " to " + std::to_string(hello.version_max()) + ", the controller " +
                  std::to_string(kStreamVersionMin) + " to " + std::to_string(kStreamVersionMax),
              {},
              "upgrade the older of the two"},
        60'000);
    return;
  }
  session.greeted = true;
  const DeviceIndex device = session.device;
  DeviceEntry& known = entry(device);
  known.software = hello.software();
  if (hello.revocation_number() > revocation_number_) {
    // "a controller that shows a lower one is reported, the device keeps its list"
    counters_.add("revocation-number-behind");
    note(Event::Level::kAlarm, "alarm.revocation-number", session.name,
         "the device knows revocation " + std::to_string(hello.revocation_number()) +
             ", the controller only " + std::to_string(revocation_number_) +
             ": the controller runs on an old backup");
  }

  // "sessions per identity (a new one replaces the old)"
  if (const auto old = relay_->session_of(device); old && *old != id) {
    counters_.add("sessions-replaced");
    go_away(*old,
            Error{kErrReplaced,
                  "another stream of " + session.name + " took this one's place",
                  {},
                  "run one agent with one identity"},
            5000);
    relay_->detach(device, now.mono);
  }

  WelcomeFields welcome;
  welcome.version = std::min(hello.version_max(), kStreamVersionMax);
  welcome.mesh_id = mesh_.id;
  welcome.mesh_name = mesh_.name;
  welcome.server_time = now.wall;
  welcome.own_dim = relay_->dim_of(device);
  welcome.revocations = revocations_octets_;
  welcome.settings = settings_for(device);
  welcome.trust = trust_der_;
  welcome.udp_port = setup_.discovery_port;
  welcome.cookie = session.cookie;
  if (!session.expired) {
    std::optional<Relay::Resume> resume;
    if (hello.has_resume()) {
      resume = Relay::Resume{as_bytes(hello.resume().epoch()), hello.resume().position()};
    }
    std::vector<DeviceIndex> held;
    for (const std::string& name : hello.held()) {
      if (const auto peer = index_of_full(name)) held.push_back(*peer);
    }
    std::sort(held.begin(), held.end());
    welcome.resumed = relay_->attach(device, id, resume, now.mono, held);
    counters_.add(welcome.resumed ? "sessions-resumed" : "sessions-snapshot");
  }
  send(id, encode_welcome(welcome));
  note(Event::Level::kInfo, "device.attached", session.name,
       session.expired ? "its certificate has expired: it may only renew"
                       : (welcome.resumed ? "resumed at its cursor" : "gets a snapshot"));
  if (known.rekey_due && !session.expired) {
    counters_.add("rekeys-ordered");
    send(id, encode_rekey("ordered by " + *known.rekey_due + " while the device was away"));
    known.rekey_due.reset();
  }
  known.told_endpoints = endpoints_of(hello.endpoints(), setup_.limits.endpoints_max);
  refresh_endpoints(device, now);
  want_more(now);
}

void Core::on_ack(Session& session, const Inbound& inbound, Times now) {
  const pb::Ack& ack = inbound.message.ack();
  std::vector<Relay::PendingPeer> pending;
  for (const auto& item : ack.pending()) {
    if (const auto peer = index_of_full(item.device())) {
      pending.push_back({*peer, proto::RekeyCounter::from_wire(item.counter())});
    }
  }
  const bool ours = relay_->acknowledge(session.device, as_bytes(ack.cursor().epoch()),
                                        ack.cursor().position(), pending, now.mono);
  counters_.add(ours ? "acks" : "acks-ignored");
  want_more(now);
}

void Core::on_want(SessionId id, Session& session, const Inbound& inbound, Times now) {
  const std::string& wanted = inbound.message.want().device();
  DeviceEntry& known = entry(session.device);
  if (!known.wants.take(now.mono)) {
    counters_.add("wants-limited");
    return;
  }
  const auto peer = index_of_full(wanted);
  if (!proto::parse_device_name(wanted)) {
    counters_.add("wants-refused");
    return;  // no name at all; it is not repeated back
  }
  if (!peer || !relay_->edge(session.device, *peer)) {
    // The clear answer to a wish that policy does not grant is the pair's removal.
    counters_.add("wants-refused");
    note(Event::Level::kInfo, "want.refused", session.name, "policy does not allow this pair",
         wanted);
    const SharedOctets removal = std::make_shared<const Bytes>(encode_removal(wanted));
    UpdateTail tail;
    tail.epoch = relay_->epoch();
    tail.position = relay_->session_cursor(session.device);
    send(id, encode_update(std::span(&removal, 1), tail));
    return;
  }
  counters_.add("wants");
  want(session.device, *peer, now);
}

void Core::want(DeviceIndex device, DeviceIndex peer, Times now) {
  commit_in_memory(
      [this, device, peer](Position at, Times when) { relay_->want(device, peer, at, when.mono); },
      now);
}

void Core::want_more(Times now) {
  for (const auto& [device, peer] : relay_->take_wanted()) want(device, peer, now);
}

void Core::on_endpoints(Session& session, const Inbound& inbound, Times now) {
  entry(session.device).told_endpoints =
      endpoints_of(inbound.message.endpoint_update().endpoints(), setup_.limits.endpoints_max);
  refresh_endpoints(session.device, now);
}

void Core::discovered(const Cookie& cookie, Endpoint endpoint, Times now) {
  const auto it = cookies_.find(cookie);
  if (it == cookies_.end()) {
    counters_.add("discovery-unknown-cookie");
    return;
  }
  const auto session = sessions_.find(it->second);
  if (session == sessions_.end() || !session->second.greeted) return;
  counters_.add("discovery");
  endpoint.origin = EndpointOrigin::kDiscovered;
  DeviceEntry& known = entry(session->second.device);
  if (known.mapped == endpoint) return;
  known.mapped = std::move(endpoint);
  refresh_endpoints(session->second.device, now);
  finish(now);
}

/// "Endpoints: what a device configured, plus what cygnetd sees of its ESP socket": policy first,
/// then the device's own words, then the mapping.
std::vector<Endpoint> Core::endpoints_now(DeviceIndex device) {
  const DeviceEntry& known = entry(device);
  std::vector<Endpoint> list;
  const auto add = [&](Endpoint endpoint) {
    const bool there = std::any_of(list.begin(), list.end(), [&](const Endpoint& e) {
      return e.address == endpoint.address && e.port == endpoint.port;
    });
    if (!there) list.push_back(std::move(endpoint));
  };
  if (policy_ && policy_->has(device)) {
    for (const auto& given : policy_->device(device).endpoints) {
      const ByteView address = given.octets();
      add({Bytes(address.begin(), address.end()), given.port, EndpointOrigin::kConfigured, {}});
    }
  }
  for (const Endpoint& endpoint : known.told_endpoints) add(endpoint);
  if (known.mapped) add(*known.mapped);
  return list;
}

void Core::refresh_endpoints(DeviceIndex device, Times now) {
  std::vector<Endpoint> list = endpoints_now(device);
  if (commits_.empty() && relay_->endpoints_of(device) == list) return;
  commit_in_memory([this, device, list = std::move(list)](
                       Position at, Times) { relay_->set_endpoints(device, list, at); },
                   now);
}

}  // namespace cygnet::controller
