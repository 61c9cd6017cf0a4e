// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/state_convert.h"

#include <algorithm>

#include "cygnet/agent/driver/state_file.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::agent {
namespace {

std::string text_of(ByteView octets) { return std::string(as_text(octets)); }
Bytes bytes_of(const std::string& text) { return Bytes(text.begin(), text.end()); }

tl::unexpected<Error> corrupt(std::string what) {
  return fail(kErrStateCorrupt, "the file holds " + std::move(what));
}

Result<crypto::Sha256> hash_from(const std::string& octets) {
  crypto::Sha256 hash{};
  if (octets.size() != hash.size()) return corrupt("a SHA-256 value of a wrong length");
  std::copy(octets.begin(), octets.end(), hash.begin());
  return hash;
}

std::string octets_of(const IpAddress& address) {
  return text_of(ByteView(address.octets).first(address.is_v6 ? 16 : 4));
}
Result<IpAddress> address_from(const std::string& octets) {
  if (octets.size() != 4 && octets.size() != 16) return corrupt("an address of a wrong length");
  IpAddress address;
  address.is_v6 = octets.size() == 16;
  std::copy(octets.begin(), octets.end(), address.octets.begin());
  return address;
}

void write(const IpPrefix& prefix, pb::PeersState::Prefix& message) {
  message.set_address(octets_of(prefix.address));
  message.set_length(prefix.length);
}
template <class List>
Result<std::vector<IpPrefix>> prefixes_from(const List& list) {
  std::vector<IpPrefix> prefixes;
  for (const pb::PeersState::Prefix& message : list) {
    CYGNET_TRY(const IpAddress address, address_from(message.address()));
    if (message.length() > (address.is_v6 ? 128U : 32U)) return corrupt("an overlong prefix");
    prefixes.push_back({address, static_cast<std::uint8_t>(message.length())});
  }
  return prefixes;
}

template <class D>
std::uint64_t ms(D duration) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}
Duration from_ms(std::uint64_t value) { return std::chrono::milliseconds(value); }
ServerTime server_time(std::uint64_t value) { return ServerTime(std::chrono::milliseconds(value)); }

void write(const MeshSettings& settings, pb::PeersState::Settings& message) {
  for (const std::string& proposal : settings.proposals) message.add_proposals(proposal);
  message.set_rekey_every_ms(ms(settings.rekey_every));
  message.set_rekey_jitter_permille(settings.rekey_jitter_permille);
  message.set_rekey_packets(settings.rekey_packets);
  message.set_lifetime_hard_ms(ms(settings.lifetime_hard));
  message.set_lanes(settings.lanes);
  message.set_replay_window(settings.replay_window);
  message.set_drain_ms(ms(settings.drain));
  message.set_forget_cap_ms(ms(settings.forget_cap));
  message.set_ppk_mandatory(settings.ppk_mandatory);
  message.set_derive_eager(settings.derive_eager);
  message.set_policy_version(settings.policy_version);
  for (const std::string& name : settings.rekeyed) message.add_rekeyed(name);
  for (const IpPrefix& prefix : settings.own_prefixes) write(prefix, *message.add_own_prefixes());
}

Result<MeshSettings> settings_from(const pb::PeersState::Settings& message) {
  MeshSettings settings;
  settings.proposals.assign(message.proposals().begin(), message.proposals().end());
  settings.rekey_every = from_ms(message.rekey_every_ms());
  settings.rekey_jitter_permille = message.rekey_jitter_permille();
  settings.rekey_packets = message.rekey_packets();
  settings.lifetime_hard = from_ms(message.lifetime_hard_ms());
  settings.lanes = static_cast<std::uint16_t>(message.lanes());
  settings.replay_window = message.replay_window();
  settings.drain = from_ms(message.drain_ms());
  settings.forget_cap = from_ms(message.forget_cap_ms());
  settings.ppk_mandatory = message.ppk_mandatory();
  settings.derive_eager = message.derive_eager();
  settings.policy_version = message.policy_version();
  settings.rekeyed.insert(message.rekeyed().begin(), message.rekeyed().end());
  CYGNET_TRY(settings.own_prefixes, prefixes_from(message.own_prefixes()));
  return settings;
}

void write(const StoredPeer& peer, pb::PeersState::Peer& message) {
  message.set_device(peer.device.value());
  message.set_allowed(peer.allowed);
  if (peer.last_accepted) {
    message.set_last_counter(peer.last_accepted->counter.to_wire());
    message.set_last_digest(text_of(peer.last_accepted->digest));
  }
  if (peer.dim) {
    message.set_dim(text_of(peer.dim->dim));
    message.set_certificate_der(text_of(peer.dim->certificate));
    message.set_accepted_at_ms(ms(peer.dim->accepted_at.time_since_epoch()));
  }
  for (const UdpEndpoint& endpoint : peer.endpoints) {
    auto* e = message.add_endpoints();
    e->set_address(octets_of(endpoint.address));
    e->set_port(endpoint.port);
    e->set_scope_id(endpoint.scope_id);
  }
  for (const IpPrefix& prefix : peer.prefixes) write(prefix, *message.add_prefixes());
  message.set_on_demand(peer.policy.on_demand);
  message.set_via(peer.policy.via);
}

Result<StoredPeer> peer_from(const pb::PeersState::Peer& message) {
  StoredPeer peer;
  const auto name = proto::parse_device_name(message.device());
  if (!name) return corrupt("a peer's name that is none");
  peer.device = *name;
  peer.allowed = message.allowed();
  if (!message.last_digest().empty()) {
    CYGNET_TRY(const crypto::Sha256 digest, hash_from(message.last_digest()));
    peer.last_accepted =
        proto::KnownDim{proto::RekeyCounter::from_wire(message.last_counter()), digest};
  }
  if (!message.dim().empty()) {
    peer.dim = StoredDim{bytes_of(message.dim()), bytes_of(message.certificate_der()),
                         server_time(message.accepted_at_ms())};
  }
  for (const auto& e : message.endpoints()) {
    CYGNET_TRY(const IpAddress address, address_from(e.address()));
    if (e.port() > 65535) return corrupt("a port above 65535");
    peer.endpoints.push_back({address, static_cast<std::uint16_t>(e.port()), e.scope_id()});
  }
  CYGNET_TRY(peer.prefixes, prefixes_from(message.prefixes()));
  peer.policy.on_demand = message.on_demand();
  peer.policy.via = message.via();
  return peer;
}

}  // namespace

pb::MeshState to_message(const MeshRecord& mesh) {
  pb::MeshState message;
  message.set_mesh_id(text_of(mesh.mesh));
  message.set_mesh_name(mesh.mesh_name);
  message.set_device(mesh.device.value());
  for (const std::string& controller : mesh.controllers) message.add_controllers(controller);
  message.set_ca_fingerprint(text_of(mesh.ca_fingerprint));
  return message;
}

Result<MeshRecord> mesh_from(const pb::MeshState& message) {
  MeshRecord mesh;
  const auto id = proto::mesh_id_from_octets(as_bytes(message.mesh_id()));
  const auto name = proto::parse_device_name(message.device());
  if (!id || !name) return corrupt("a mesh id or device name that is none");
  mesh.mesh = *id;
  mesh.mesh_name = message.mesh_name();
  mesh.device = *name;
  mesh.controllers.assign(message.controllers().begin(), message.controllers().end());
  if (mesh.controllers.empty()) return corrupt("no controller");
  CYGNET_TRY(mesh.ca_fingerprint, hash_from(message.ca_fingerprint()));
  return mesh;
}

pb::DeviceState to_message(const DeviceRecord& device) {
  pb::DeviceState message;
  message.set_boot_count(device.boot_count);
  message.set_last_sequence(device.last_sequence);
  for (const Bytes& dim : device.own_dims) message.add_own_dims(text_of(dim));
  return message;
}

DeviceRecord device_from(const pb::DeviceState& message) {
  DeviceRecord device;
  device.boot_count = message.boot_count();
  device.last_sequence = message.last_sequence();
  for (const std::string& dim : message.own_dims()) device.own_dims.push_back(bytes_of(dim));
  return device;
}

pb::PinsState to_message(const Pins& pins) {
  pb::PinsState message;
  for (const auto& [device, pin] : pins.entries()) {
    auto* p = message.add_pins();
    p->set_device(device.value());
    p->set_spki_sha256(text_of(pin.spki_sha256));
    p->set_at_version(pin.changed_at_version);
    if (pin.confirmed) p->set_confirmed(text_of(*pin.confirmed));
  }
  return message;
}

Result<Pins> pins_from(const pb::PinsState& message) {
  std::map<proto::DeviceName, Pin> entries;
  for (const auto& p : message.pins()) {
    const auto name = proto::parse_device_name(p.device());
    if (!name) return corrupt("a device's name that is none");
    CYGNET_TRY(const crypto::Sha256 hash, hash_from(p.spki_sha256()));
    Pin pin{hash, p.at_version(), std::nullopt};
    if (!p.confirmed().empty()) {
      CYGNET_TRY(pin.confirmed, hash_from(p.confirmed()));
    }
    entries.emplace(*name, pin);
  }
  return Pins(std::move(entries));
}

pb::RevocationsState to_message(const Revocations& revocations) {
  pb::RevocationsState message;
  message.set_number(revocations.number);
  for (const crypto::Sha256& key : revocations.keys) message.add_spki_sha256(text_of(key));
  for (const Bytes& serial : revocations.serials) message.add_serials(text_of(serial));
  return message;
}

Result<Revocations> revocations_from(const pb::RevocationsState& message) {
  Revocations revocations;
  revocations.number = message.number();
  for (const std::string& key : message.spki_sha256()) {
    CYGNET_TRY(const crypto::Sha256 hash, hash_from(key));
    revocations.keys.insert(hash);
  }
  for (const std::string& serial : message.serials()) revocations.serials.insert(bytes_of(serial));
  return revocations;
}

pb::PeersState to_message(const StoredTable& table) {
  pb::PeersState message;
  if (table.cursor) {
    message.set_cursor_epoch(text_of(table.cursor->epoch));
    message.set_cursor_position(table.cursor->position);
  }
  if (table.settings) write(*table.settings, *message.mutable_settings());
  for (const StoredPeer& peer : table.peers) write(peer, *message.add_peers());
  return message;
}

Result<StoredTable> table_from(const pb::PeersState& message) {
  StoredTable table;
  if (!message.cursor_epoch().empty()) {
    table.cursor = Cursor{bytes_of(message.cursor_epoch()), message.cursor_position()};
  }
  if (message.has_settings()) {
    CYGNET_TRY(table.settings, settings_from(message.settings()));
  }
  for (const auto& p : message.peers()) {
    CYGNET_TRY(StoredPeer peer, peer_from(p));
    table.peers.push_back(std::move(peer));
  }
  return table;
}

}  // namespace cygnet::agent
