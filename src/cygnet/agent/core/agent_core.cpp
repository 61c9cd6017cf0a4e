// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/agent_core.h"

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/dh.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::agent {

namespace rekey = proto::rekey;

AgentCore::AgentCore(DeviceIdentity identity, Features features, Abilities abilities,
                     Restored restored, ServerTime build_time, CoreSeams seams)
    : identity_(std::move(identity)),
      features_(std::move(features)),
      abilities_(std::move(abilities)),
      restored_(std::move(restored)),
      time_(build_time, restored_.last_server_time),
      seams_(seams),
      pins_(std::move(restored_.pins)),
      revocations_(std::move(restored_.revocations)) {}

Effects AgentCore::start(Now now) {
  cursor_ = restored_.table.cursor;
  for (const StoredPeer& stored : restored_.table.peers) {
    Peer& peer = peer_of(stored.device);
    peer.last_accepted = stored.last_accepted;
    peer.endpoints = stored.endpoints;
    peer.prefixes = stored.prefixes;
    peer.policy = stored.policy;
    if (!stored.allowed) continue;
    if (stored.dim) {
      // It passed every check before it was stored; what can have changed since is asked again.
      Result<proto::Dim> dim = proto::decode_dim(stored.dim->dim);
      Result<crypto::Certificate> certificate = seams_.proofs->certificate(stored.dim->certificate);
      if (dim && certificate && dim->device == stored.device &&
          !is_revoked(revocations_, *certificate)) {
        const proto::RekeyCounter counter = dim->counter;
        nonces_[dim->nonce] = {peer.id, counter};
        peer.dims[counter] =
            HeldDim{std::make_shared<const proto::AcceptedDim>(proto::AcceptedDim{
                        std::move(*dim), stored.dim->dim, proto::dim_digest(stored.dim->dim),
                        certificate->compact()}),
                    stored.dim->accepted_at};
      } else {
        cursor_.reset();  // the table does not describe it any more: ask for a snapshot
      }
    }
    peer.allowed = true;
    configure(peer);
  }
  if (restored_.table.settings) take_settings(*restored_.table.settings, now);
  restored_.table = {};  // all of it is in use by now: DIMs and certificates need not be here twice
  return finish(now);
}

// First DIM and settings of the stored table, then the machine: from here on it decides.
void AgentCore::begin_rekeying(Now now) {
  rekey_ = rekey::RekeyCore(rekey_params(*settings_));
  feed(rekey::Start{restored_.boot_count, restored_.last_sequence, restored_.sa_state_lost}, now);
  for (Peer& peer : peers_) {
    if (!peer.allowed) continue;
    feed(rekey::PeerAdded{peer.id, peer.last_accepted ? std::optional(peer.last_accepted->counter)
                                                      : std::nullopt},
         now);
    if (!peer.dims.empty()) give_to_rekey(peer, peer.dims.rbegin()->first, false, now);
  }
}

Effects AgentCore::finish(Now) {
  if (const auto judged = acks_.take_judged()) {
    if (!snapshot_) {
      cursor_ = judged;
      out_.emplace_back(StoreTable{});
    }
  }
  if (link_up_) {
    if (const auto ack = acks_.take()) {
      SendAck message{ack->cursor, {}};
      for (const auto& [id, counter] : ack->pending) {
        message.pending.push_back({peer_at(id).device, counter});
      }
      out_.emplace_back(std::move(message));
    }
  }
  return std::exchange(out_, {});
}

// ---- The link ----

Effects AgentCore::on_welcome(const Welcome& welcome, Now now) {
  time_.take_server_time(welcome.server_time, now.mono);
  out_.emplace_back(StoreServerTime{time_.last_server_time()});
  resuming_ = true;
  snapshot_.reset();
  take_revocations(welcome.revocations, now);
  take_settings(welcome.settings, now);

  std::set<AckTracker::Item> unsettled;
  if (welcome.resumed) {
    for (const Peer& peer : peers_) {
      if (peer.allowed && !peer.dims.empty())
        unsettled.insert({peer.id, peer.dims.rbegin()->first});
    }
  } else {
    cursor_.reset();
  }
  acks_.start(welcome.resumed ? cursor_ : std::nullopt, unsettled);
  for (Peer& peer : peers_) {
    // Jobs of the old stream still count for the table, their cursor was not stored.
    settle_acks(peer);
  }
  link_up_ = true;
  feed(rekey::LinkUp{}, now);
  take_own_dim(welcome.own_dim, now);
  return finish(now);
}

Effects AgentCore::on_link_down(Now now) {
  if (!link_up_) return finish(now);
  link_up_ = false;
  snapshot_.reset();
  feed(rekey::LinkDown{}, now);
  return finish(now);
}

void AgentCore::take_settings(const MeshSettings& settings, Now now) {
  Result<Offer> offer = make_offer(settings, abilities_);
  if (!offer) {
    alarm(std::string(offer.error().code.name()), offer.error().to_string(), std::nullopt);
    if (!offer_) return;  // nothing to go on with; wait for settings that can be used
  }
  const bool first = !settings_.has_value();
  const std::optional<MeshSettings> before = std::exchange(settings_, settings);
  if (before != settings_) {
    ++epoch_;  // `rekeyed`, policy version
    out_.emplace_back(StoreTable{});
  }
  bool offer_changed = false;
  if (offer) {
    left_out_ = offer->left_out;
    offer_changed = offer_ && !offer_->same_as(*offer);
    offer_ = std::move(*offer);
  }
  if (first || before->own_prefixes != settings.own_prefixes) {
    out_.emplace_back(SetOwnPrefixes{settings.own_prefixes});
  }
  if (first || before->rekey_packets != settings.rekey_packets || offer_changed) {
    std::uint64_t limit = settings.rekey_packets;
    const bool short_numbers =
        std::any_of(offer_->policies.begin(), offer_->policies.end(),
                    [](const auto& p) { return p.sn == proto::SequenceNumbers::k32Bit; });
    // "Before 2^32 packets without ESN … always": early enough for a rekey to get through.
    constexpr std::uint64_t kShortNumbersLimit = 0xe0000000;
    if (short_numbers && (limit == 0 || limit > kShortNumbersLimit)) limit = kShortNumbersLimit;
    out_.emplace_back(SetSoftPacketLimit{limit});
  }
  if (first) {
    begin_rekeying(now);
  } else if (before != settings_) {
    feed(rekey::SettingsChanged{rekey_params(settings)}, now);
    if (offer_changed) feed(rekey::RekeyRequired{rekey::RekeyCause::kPolicyChanged}, now);
  }
}

// "Revocations (by key and serial) are stored on the device, carry a number that only rises; a
// controller that shows a lower one is reported, the device keeps its list."
void AgentCore::take_revocations(const Revocations& revocations, Now now) {
  if (revocations.number < revocations_.number) {
    alarm("revocations-rolled-back",
          "the controller shows revocation number " + std::to_string(revocations.number) +
              ", this device has seen " + std::to_string(revocations_.number) +
              "; the longer list stays in force",
          std::nullopt);
    return;
  }
  const Revocations before = revocations_;
  revocations_.number = revocations.number;
  revocations_.keys.insert(revocations.keys.begin(), revocations.keys.end());
  revocations_.serials.insert(revocations.serials.begin(), revocations.serials.end());
  if (revocations_ == before) return;
  revoked_now_.reset();
  ++epoch_;
  out_.emplace_back(StoreRevocations{});
  for (Peer& peer : peers_) {
    if (!peer.allowed || peer.dims.empty()) continue;
    if (!is_revoked(revocations_, peer.dims.rbegin()->second.dim->certificate)) continue;
    out_.emplace_back(Note{NoteLevel::kWarning, "the peer is revoked: its SAs are removed",
                           peer.device, std::nullopt});
    disallow(peer, now);
    peer.revoked = true;
  }
}

Effects AgentCore::on_update(const Update& update, Now now) {
  if (update.snapshot_begin) snapshot_.emplace();
  acks_.open();
  if (update.revocations) take_revocations(*update.revocations, now);
  if (update.settings) take_settings(*update.settings, now);
  for (const PeerChange& change : update.changes) take_change(change, now);
  // "absence is judged at the end": also the cursor counts only from there.
  if (update.snapshot_end) end_snapshot();
  acks_.close(update.cursor);
  if (!snapshot_) resuming_ = false;
  return finish(now);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.3
//# PAD entries are either statically configured, or may be dynamically updated by the controller.
void AgentCore::take_change(const PeerChange& change, Now now) {
  if (change.device == identity_.device) return;
  if (snapshot_) snapshot_->insert(change.device);
  Peer& peer = peer_of(change.device);
  if (change.removed) {
    if (peer.allowed) {
      out_.emplace_back(Note{NoteLevel::kInfo, "the peer is removed by policy", peer.device, {}});
    }
    disallow(peer, now);
    return;
  }
  bool changed = !peer.allowed;
  peer.unconfirmed = false;
  if (change.endpoints && *change.endpoints != peer.endpoints) {
    peer.endpoints = *change.endpoints;
    changed = true;
  }
  if (change.prefixes && *change.prefixes != peer.prefixes) {
    peer.prefixes = *change.prefixes;
    changed = true;
  }
  if (change.policy && *change.policy != peer.policy) peer.policy = *change.policy;
  if (changed) {
    out_.emplace_back(StoreTable{});
    if (peer.allowed) {
      configure(peer);
    } else {
      allow(peer, now);
    }
  }
  if (change.dim) take_dim(peer, *change.dim, now);
}

// "A held peer that is in neither: keep its SAs to hard lifetime, accept no DIM for it, show
// `unconfirmed`." Its DIM can only come with a change, which confirms it.
void AgentCore::end_snapshot() {
  if (!snapshot_) return;
  for (Peer& peer : peers_) {
    if (!peer.allowed || snapshot_->contains(peer.device)) continue;
    peer.unconfirmed = true;
    out_.emplace_back(Note{NoteLevel::kWarning,
                           "the controller no longer lists the peer and has not removed it either: "
                           "its SAs stay until their lifetime ends",
                           peer.device, std::nullopt});
  }
  snapshot_.reset();
}

// "the device verifies its own signature" on the own DIM the controller shows.
std::optional<proto::Dim> AgentCore::verified_own_dim(const StoredDim& stored) {
  Result<proto::Dim> dim = proto::decode_dim(stored.dim);
  Status status;
  if (!dim) {
    status = fail(std::move(dim).error());
  } else if (dim->device != identity_.device) {
    status = fail(proto::kErrPad, "it is " + dim->device.value() + "'s");
  } else {
    status = proto::verify_dim(*dim, stored.dim, identity_.mesh, identity_.certificate);
  }
  if (status) return std::move(*dim);
  alarm("own-dim-forged",
        "the controller shows a DIM as ours that this device never signed: " +
            status.error().to_string(),
        std::nullopt);
  return std::nullopt;
}

// "Own DIM in Welcome … Same: accepted … Device newer: it publishes again. Stored newer, or equal
// with other octets: the device lost state or was cloned."
void AgentCore::take_own_dim(const std::optional<StoredDim>& stored, Now now) {
  rekey::OwnDimReported report;
  const std::optional<proto::Dim> dim = stored ? verified_own_dim(*stored) : std::nullopt;
  if (!dim) {
    feed(report, now);
    return;
  }
  report.stored = dim->counter;
  const auto before_auth = proto::octets_before_auth(stored->dim);
  const auto same = own_.find(dim->counter);
  if (same != own_.end() && !same->second.octets.empty() &&
      equal(proto::octets_before_auth(same->second.octets), before_auth)) {
    report.verdict = rekey::OwnDimVerdict::kSame;
    report.accepted_at = time_.on_our_clock(stored->accepted_at, now);
  } else {
    const rekey::DeviceStatus status = rekey_.device_status();
    const proto::RekeyCounter ours(status.boot_count, status.last_sequence);
    const bool known = std::any_of(
        restored_.own_dims.begin(), restored_.own_dims.end(),
        [&](const Bytes& octets) { return equal(proto::octets_before_auth(octets), before_auth); });
    // With our boot count, but never signed since this start nor remembered from before: an older
    // copy of the disk came back, and that boot count was used already.
    // A start that took over its SAs goes on in the same boot count.
    // The same counter is not enough: a former life may have drawn another generation under it.
    const auto ours_too = signed_.find(dim->counter);
    const bool made =
        ours_too != signed_.end() && ours_too->second == proto::dim_digest(stored->dim);
    const bool lower = dim->counter.boot_count() < status.boot_count ||
                       (!restored_.sa_state_lost && known && dim->counter == ours) ||
                       (dim->counter < ours && same == own_.end() && (known || made));
    report.verdict =
        lower ? rekey::OwnDimVerdict::kDeviceNewer : rekey::OwnDimVerdict::kStoredNewer;
    if (report.verdict == rekey::OwnDimVerdict::kStoredNewer) {
      alarm("own-dim-newer",
            "the controller holds DIM " + proto::to_string(dim->counter) +
                " of this device, which is newer than anything it remembers: its state was lost, "
                "rolled back or cloned",
            std::nullopt);
    } else {
      // What an earlier start of this device signed is on disk; another DIM with its boot count was
      // signed by a copy of it.
      if (!restored_.own_dims.empty() && !known && same == own_.end() &&
          dim->counter.boot_count() + 1 == restored_.boot_count) {
        alarm("own-dim-unknown",
              "the controller holds DIM " + proto::to_string(dim->counter) +
                  " of this device, which it does not remember signing: look for a clone",
              std::nullopt);
      }
    }
  }
  feed(report, now);
}

Effects AgentCore::on_publish_result(const PublishResult& result, Now now) {
  if (result.accepted) {
    feed(rekey::PublishAccepted{result.counter, time_.on_our_clock(result.accepted_at, now)}, now);
    return finish(now);
  }
  rekey::PublishRefused refused{result.counter, rekey::PublishRefusal::kRetryLater, std::nullopt};
  if (result.refusal_code == proto::kErrStaleDim.name() ||
      result.refusal_code == proto::kErrEquivocation.name()) {
    const auto newer = result.newer ? verified_own_dim(*result.newer) : std::nullopt;
    if (newer) {
      refused.why = rekey::PublishRefusal::kStale;
      refused.stored = newer->counter;
    }
  } else if (result.refusal_code == proto::kErrNonceReused.name() ||
             result.refusal_code == crypto::kErrPublicValue.name()) {
    refused.why = rekey::PublishRefusal::kRedraw;
  }
  out_.emplace_back(Note{NoteLevel::kWarning,
                         "the controller refused DIM " + proto::to_string(result.counter) + ": " +
                             result.refusal_message + " (" + result.refusal_code + ")",
                         std::nullopt, std::nullopt});
  feed(refused, now);
  return finish(now);
}

Effects AgentCore::on_publish_status(const PublishStatus& status, Now now) {
  rekey::DeliveryMark mark{status.counter, {}, status.attached_missing, status.unattached_missing};
  for (const std::string& name : status.acknowledged) {
    const auto it = ids_.find(proto::DeviceName(name));
    if (it != ids_.end()) mark.acknowledged.push_back(it->second);
  }
  feed(mark, now);
  return finish(now);
}

Effects AgentCore::on_missing_newest(const proto::DeviceName& peer, Now now) {
  const auto it = ids_.find(peer);
  if (it != ids_.end()) feed(rekey::MissingNewest{it->second}, now);
  return finish(now);
}

Effects AgentCore::on_rekey_ordered(rekey::RekeyCause cause, Now now) {
  feed(rekey::RekeyRequired{cause}, now);
  return finish(now);
}

Effects AgentCore::on_counters_unknown(Now now) {
  feed(rekey::CountersUnknown{}, now);
  return finish(now);
}

Effects AgentCore::on_certificate_renewed(crypto::Certificate certificate,
                                          std::vector<crypto::Certificate> trust, Now now) {
  identity_.certificate = std::move(certificate);
  if (!trust.empty()) {
    identity_.trust = std::move(trust);
    ++epoch_;
  }
  return finish(now);
}

Effects AgentCore::on_key_confirmed(const proto::DeviceName& device,
                                    const crypto::Sha256& spki_sha256, Now now) {
  pins_.confirm(device, spki_sha256);
  ++epoch_;
  out_.emplace_back(StorePins{});
  // The refused DIM was not kept: a snapshot brings it again.
  cursor_.reset();
  out_.emplace_back(StoreTable{});
  return finish(now);
}

// ---- Peers ----

AgentCore::Peer& AgentCore::peer_of(const proto::DeviceName& device) {
  const auto it = ids_.find(device);
  if (it != ids_.end()) return peer_at(it->second);
  const proto::PeerId id(static_cast<std::uint32_t>(peers_.size() + 1));
  ids_.emplace(device, id);
  Peer& peer = peers_.emplace_back();
  peer.id = id;
  peer.device = device;
  return peer;
}

void AgentCore::allow(Peer& peer, Now now) {
  peer.allowed = true;
  peer.revoked = false;
  configure(peer);
  if (!rekey_.device_status().started) return;
  feed(rekey::PeerAdded{peer.id, peer.last_accepted ? std::optional(peer.last_accepted->counter)
                                                    : std::nullopt},
       now);
}

void AgentCore::disallow(Peer& peer, Now now) {
  if (!peer.allowed) return;
  peer.allowed = false;
  peer.unconfirmed = false;
  feed(rekey::PeerRemoved{peer.id}, now);
  for (const auto& [counter, held] : peer.dims) nonces_.erase(held.dim->dim.nonce);
  peer.dims.clear();
  peer.last_refusal.reset();
  peer.no_agreement.reset();
  if (peer.queued) acks_.judged(peer.queued->ticket);
  peer.queued.reset();
  acks_.peer_gone(peer.id);
  forget_path(peer.id);
  out_.emplace_back(RemovePeer{peer.id});
  out_.emplace_back(StoreTable{});
}

void AgentCore::configure(const Peer& peer) {
  PeerConfig config;
  config.peer = peer.id;
  config.name = peer.device.value();
  config.mesh_address.is_v6 = true;
  config.mesh_address.octets = proto::mesh_address(identity_.mesh, peer.device);
  config.prefixes = peer.prefixes;
  config.endpoints = peer.endpoints;
  out_.emplace_back(SetPeer{std::move(config)});
}

bool AgentCore::is_revoked(const Revocations& list, const crypto::Certificate& certificate) {
  return list.keys.contains(certificate.spki_hash()) || list.serials.contains(certificate.serial());
}

// ---- Views ----

std::vector<proto::DeviceName> AgentCore::held_on_demand() const {
  std::vector<proto::DeviceName> out;
  for (const Peer& peer : peers_) {
    if (peer.allowed && peer.policy.on_demand && !peer.dims.empty()) out.push_back(peer.device);
  }
  return out;
}

std::function<StoredTable()> AgentCore::table_later() const {
  struct Parts {
    StoredTable table;
    std::vector<std::optional<HeldDim>> dims;  ///< by peer; shared, and nobody changes them
  };
  auto parts = std::make_shared<Parts>();
  StoredTable& table = parts->table;
  table.cursor = cursor_;
  table.settings = settings_;
  table.peers.reserve(peers_.size());
  parts->dims.resize(peers_.size());
  for (const Peer& peer : peers_) {
    StoredPeer& stored = table.peers.emplace_back();
    stored.device = peer.device;
    stored.allowed = peer.allowed;
    stored.last_accepted = peer.last_accepted;
    stored.endpoints = peer.endpoints;
    stored.prefixes = peer.prefixes;
    stored.policy = peer.policy;
    if (!peer.dims.empty()) parts->dims[table.peers.size() - 1] = peer.dims.rbegin()->second;
  }
  return [parts] {
    for (std::size_t i = 0; i < parts->dims.size(); ++i) {
      const std::optional<HeldDim>& held = parts->dims[i];
      if (!held) continue;
      parts->table.peers[i].dim =
          StoredDim{held->dim->octets, held->dim->certificate.der(), held->accepted_at};
    }
    return std::move(parts->table);
  };
}

std::optional<proto::PeerId> AgentCore::find(const proto::DeviceName& device) const {
  const auto it = ids_.find(device);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

std::vector<proto::PeerId> AgentCore::known_peers() const {
  std::vector<proto::PeerId> ids;
  for (const Peer& peer : peers_) ids.push_back(peer.id);
  std::sort(ids.begin(), ids.end(), [this](proto::PeerId a, proto::PeerId b) {
    return peer_at(a).device < peer_at(b).device;
  });
  return ids;
}

std::optional<PeerView> AgentCore::view(proto::PeerId id) const {
  const Peer* const found = find_peer(id);
  if (found == nullptr) return std::nullopt;
  const Peer& peer = *found;
  PeerView view;
  view.id = id;
  view.device = peer.device;
  view.mesh_address.is_v6 = true;
  view.mesh_address.octets = proto::mesh_address(identity_.mesh, peer.device);
  view.allowed = peer.allowed;
  view.unconfirmed = peer.unconfirmed;
  view.revoked = peer.revoked;
  view.policy = peer.policy;
  view.endpoints = peer.endpoints;
  view.prefixes = peer.prefixes;
  view.last_refusal = peer.last_refusal;
  view.no_agreement = peer.no_agreement;
  view.rekey = rekey_.peer_status(id);
  if (!peer.dims.empty()) {
    const proto::AcceptedDim& newest = *peer.dims.rbegin()->second.dim;
    view.newest = newest.dim.counter;
    view.certificate_not_after = newest.certificate.not_after();
    if (!own_.empty() && own_.rbegin()->second.dim) {
      const auto agreed = proto::negotiate(*own_.rbegin()->second.dim, newest.dim,
                                           settings_ && settings_->ppk_mandatory);
      if (agreed) view.agreement = *agreed;
    }
  }
  if (const auto path = paths_.find(id); path != paths_.end()) view.path_mtu = path->second.mtu;
  return view;
}

void AgentCore::alarm(std::string code, std::string message,
                      std::optional<proto::DeviceName> peer) {
  out_.emplace_back(Note{NoteLevel::kAlarm, code + ": " + message, std::move(peer), std::nullopt});
  out_.emplace_back(SendReport{AlarmReport{std::move(code), std::move(message)}});
}

}  // namespace cygnet::agent
