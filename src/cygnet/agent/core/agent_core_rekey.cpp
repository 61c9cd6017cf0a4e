// SPDX-License-Identifier: Apache-2.0
// AgentCore around the rekey machine: its events fed, its effects turned into what the driver does.
#include <algorithm>

#include "cygnet/agent/core/agent_core.h"
#include "cygnet/agent/core/derive.h"
#include "cygnet/base/assert.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/probe/probe.h"

namespace cygnet::agent {

namespace rekey = proto::rekey;

namespace {
// Of its own DIMs: a controller that shows one older than so many rekeys has lost its own state.
constexpr std::size_t kSignedKept = 256;
}  // namespace

// Effects are carried out in list order; events that carrying them out causes (a negotiation that
// fails) come after the whole list.
void AgentCore::feed(const rekey::Event& event, Now now) {
  if (feeding_) {
    events_.push_back(event);
    return;
  }
  feeding_ = true;
  const auto handle = [&](const rekey::Event& one) {
    const rekey::Effects effects = rekey_.handle(one, now.mono);
    if (out_.capacity() == 0) out_.reserve(effects.list.size());
    for (const rekey::Effect& effect : effects.list) carry_out(effect, now);
  };
  handle(event);  // hardly ever followed by another, so not put into the queue
  while (!events_.empty()) {
    const rekey::Event next = std::move(events_.front());
    events_.pop_front();
    handle(next);
  }
  feeding_ = false;
}

void AgentCore::carry_out(const rekey::Effect& effect, Now now) {
  std::visit(
      [&](const auto& e) {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, rekey::StoreBootCount>) {
          out_.emplace_back(StoreBootCount{e.boot_count});
        } else if constexpr (std::is_same_v<T, rekey::ChooseOutbound>) {
          out_.emplace_back(ChooseOutbound{e.peer, e.pair});
        } else if constexpr (std::is_same_v<T, rekey::RemoveOutbound>) {
          installing_.erase({e.peer, e.pair});
          out_.emplace_back(RemoveOutbound{e.peer, e.pair});
        } else if constexpr (std::is_same_v<T, rekey::RemoveInbound>) {
          installing_.erase({e.peer, e.pair});
          out_.emplace_back(RemoveInbound{e.peer, e.pair});
        } else if constexpr (std::is_same_v<T, rekey::EraseDhPair>) {
          own_.erase(e.counter);
          out_.emplace_back(EraseKeys{e.counter});
        } else if constexpr (std::is_same_v<T, rekey::SendProbe>) {
          out_.emplace_back(SendProbeRequest{e.peer, e.pair});
        } else if constexpr (std::is_same_v<T, rekey::Observe>) {
          out_.emplace_back(Observed{e});
        } else if constexpr (std::is_same_v<T, rekey::DeriveNow>) {
          if (features_.lazy_derivation) out_.emplace_back(DeriveNow{e.peer, e.pair});
        } else {
          carry(e, now);
        }
      },
      effect);
}

void AgentCore::carry(const rekey::GenerateDhPair& effect, Now) {
  CYGNET_ASSERT(offer_.has_value());
  own_[effect.counter].offer = offer_;
  out_.emplace_back(MakeGeneration{effect.counter, offer_->groups});
}

Effects AgentCore::on_generation_made(proto::RekeyCounter counter, std::vector<proto::DhPublic> kes,
                                      Bytes nonce, std::uint32_t random, Now now) {
  const auto it = own_.find(counter);
  CYGNET_ASSERT(it != own_.end() && it->second.offer && !it->second.dim);
  it->second.dim = std::make_shared<const proto::Dim>(
      compose_dim(identity_.device, *it->second.offer, counter, std::move(kes), std::move(nonce)));
  out_.reserve(out_.size() + peers_.size());  // an install for nearly every one
  feed(rekey::GenerationReady{counter, random}, now);
  return finish(now);
}

Effects AgentCore::on_generation_failed(proto::RekeyCounter counter, const Error& error, Now now) {
  own_.erase(counter);
  out_.emplace_back(Note{NoteLevel::kWarning, "no DH pair could be made", std::nullopt, error});
  feed(rekey::GenerationFailed{counter}, now);
  return finish(now);
}

void AgentCore::carry(const rekey::InstallSaPair& effect, Now now) {
  Peer& peer = peer_at(effect.peer);
  const auto own = own_.find(effect.pair.local);
  const auto held = peer.dims.find(effect.pair.remote);
  CYGNET_ASSERT(own != own_.end() && own->second.dim);
  CYGNET_ASSERT(held != peer.dims.end());
  const DimPtr remote(held->second.dim, &held->second.dim->dim);
  auto agreement = proto::negotiate(*own->second.dim, *remote, settings_->ppk_mandatory);
  if (!agreement) {
    peer.no_agreement = agreement.error();
    feed(rekey::SaPairFailed{effect.peer, effect.pair, rekey::InstallFailure::kNoProposal}, now);
    return;
  }
  peer.no_agreement.reset();
  installing_.insert({effect.peer, effect.pair});
  out_.emplace_back(InstallPair{effect.peer, effect.pair, own->second.dim, remote,
                                std::move(*agreement), settings_->replay_window,
                                derives_lazily(peer, now)});
}

// Where packets flow, keys are there before the first packet that needs them: a switch to a pair
// that has yet to be derived would hold up more packets than may wait.
bool AgentCore::derives_lazily(const Peer& peer, Now now) const {
  if (!features_.lazy_derivation || settings_->derive_eager) return false;
  return !peer.last_user || now.mono - *peer.last_user >= settings_->rekey_every;
}

void AgentCore::note_user_traffic(proto::PeerId id, Now now) {
  if (find_peer(id) != nullptr) peer_at(id).last_user = now.mono;
}

// A late or forged packet for a pair that drains asks for keys that the cap may have erased: that
// is nobody's fault, and anybody can send it.
Effects AgentCore::on_keys_failed(proto::PeerId peer, proto::SaPairId pair, const Error& error,
                                  Now now) {
  if (!is_draining(peer, pair)) {
    out_.emplace_back(Note{NoteLevel::kWarning, "the keys of an SA pair could not be derived",
                           peer_at(peer).device, error});
  }
  feed(rekey::SaPairLost{peer, pair}, now);
  return finish(now);
}

bool AgentCore::is_draining(proto::PeerId peer, proto::SaPairId pair) const {
  const auto status = rekey_.peer_status(peer);
  return status && std::any_of(status->pairs.begin(), status->pairs.end(), [&](const auto& known) {
           return known.id == pair && known.state == rekey::PairState::kDraining;
         });
}

Effects AgentCore::on_pair_installed(proto::PeerId peer, proto::SaPairId pair, Now now) {
  if (installing_.erase({peer, pair}) != 0) {
    feed(rekey::SaPairInstalled{peer, pair}, now);
    settle_acks(peer_at(peer));
    prune(peer_at(peer));
  }
  return finish(now);
}

Effects AgentCore::on_pair_failed(proto::PeerId peer, proto::SaPairId pair, bool collision,
                                  const Error& error, Now now) {
  if (installing_.erase({peer, pair}) != 0) {
    out_.emplace_back(Note{NoteLevel::kWarning, "an SA pair could not be installed",
                           peer_at(peer).device, error});
    feed(rekey::SaPairFailed{peer, pair,
                             collision ? rekey::InstallFailure::kCollision
                                       : rekey::InstallFailure::kTransient},
         now);
    settle_acks(peer_at(peer));
  }
  return finish(now);
}

void AgentCore::carry(const rekey::PublishGeneration& effect, Now) {
  const auto it = own_.find(effect.counter);
  CYGNET_ASSERT(it != own_.end() && it->second.dim);
  OwnGeneration& own = it->second;
  if (!own.octets.empty()) {  // asked again: the same octets
    if (link_up_) out_.emplace_back(SendPublish{own.octets});
    return;
  }
  if (own.signing) return;
  own.signing = true;
  proto::Dim dim = *own.dim;
  dim.initial_contact = effect.initial_contact;
  out_.emplace_back(SignDim{effect.counter, std::move(dim)});
}

Effects AgentCore::on_dim_signed(proto::RekeyCounter counter, Bytes octets, Now now) {
  signed_[counter] = proto::dim_digest(octets);
  if (signed_.size() > kSignedKept) signed_.erase(signed_.begin());
  const auto it = own_.find(counter);
  if (it != own_.end()) {
    it->second.signing = false;
    it->second.octets = std::move(octets);
    if (link_up_) out_.emplace_back(SendPublish{it->second.octets});
  }
  return finish(now);
}

// A DIM that is not on disk is not published: a restart would not know its counter. The machine
// asks again after its pause.
Effects AgentCore::on_dim_not_signed(proto::RekeyCounter counter, const Error& error, Now now) {
  const auto it = own_.find(counter);
  if (it != own_.end()) {
    it->second.signing = false;
    out_.emplace_back(Note{NoteLevel::kAlarm,
                           "the own DIM cannot be stored, so it is not published", std::nullopt,
                           error});
    feed(rekey::PublishRefused{counter, rekey::PublishRefusal::kRetryLater, std::nullopt}, now);
  }
  return finish(now);
}

void AgentCore::carry(const rekey::AcknowledgeDim& effect, Now) {
  const AckTracker::Item item{effect.peer, effect.counter};
  switch (effect.outcome) {
    case rekey::DimOutcome::kInstalled:
    case rekey::DimOutcome::kRefused:
      acks_.done(item);
      break;
    case rekey::DimOutcome::kPending:
      acks_.pending(item);
      break;
  }
}

void AgentCore::carry(const rekey::ReportToController& effect, Now) {
  const auto name = [&] { return effect.peer ? peer_at(*effect.peer).device : identity_.device; };
  switch (effect.code) {
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
    //# If there is no match, then this is considered a controller error, and the IPsec devices
    //# SHOULD report the error to the controller.
    case rekey::ReportCode::kNoProposal:
      out_.emplace_back(
          SendReport{NoProposalReport{name(), effect.pair.value_or(proto::SaPairId{})}});
      out_.emplace_back(Note{NoteLevel::kWarning, "no proposal in common with the peer", name(),
                             effect.peer ? peer_at(*effect.peer).no_agreement : std::nullopt});
      break;
    case rekey::ReportCode::kInstallFailed:
      out_.emplace_back(SendReport{SaEventReport{
          name(), effect.pair.value_or(proto::SaPairId{}), "install-failed",
          "the peer's new DIM stays pending; this device rolls over as soon as it may"}});
      break;
    case rekey::ReportCode::kGenerationFailed:
      alarm("generation-failed",
            "a new generation could not be installed for every peer and was not published",
            std::nullopt);
      break;
    case rekey::ReportCode::kOwnDimNewer:
      break;  // told with its counter where the Welcome is judged
  }
}

// ---- The data plane ----

Effects AgentCore::on_evidence(proto::PeerId peer, proto::SaPairId pair, EvidenceKind kind,
                               Now now) {
  const rekey::Evidence evidence = kind == EvidenceKind::kUser    ? rekey::Evidence::kUser
                                   : kind == EvidenceKind::kProbe ? rekey::Evidence::kProbe
                                                                  : rekey::Evidence::kDummy;
  if (kind == EvidenceKind::kUser) note_user_traffic(peer, now);
  feed(rekey::InboundEvidence{peer, pair, evidence}, now);
  if (find_peer(peer) != nullptr) prune(peer_at(peer));
  return finish(now);
}

Effects AgentCore::on_user_traffic(proto::PeerId peer, Now now) {
  note_user_traffic(peer, now);
  feed(rekey::UserTraffic{peer}, now);
  note_path_traffic(peer, now);
  return finish(now);
}

// "On-demand": policy allows the pair, the controller brings the DIMs when somebody wants it.
Effects AgentCore::on_packet_waiting(proto::PeerId peer, Now now) {
  const Peer* const known = find_peer(peer);
  if (known != nullptr && known->allowed && known->policy.on_demand && known->dims.empty() &&
      link_up_) {
    out_.emplace_back(SendWant{known->device});
  }
  feed(rekey::PacketWaiting{peer}, now);
  return finish(now);
}

Effects AgentCore::on_soft_limit(proto::PeerId peer, proto::SaPairId pair, Now now) {
  feed(rekey::SoftLimit{peer, pair}, now);
  return finish(now);
}

Effects AgentCore::on_unknown_spi(std::uint32_t spi, const UdpEndpoint& source, std::uint64_t count,
                                  Now now) {
  if (link_up_) out_.emplace_back(SendReport{BadSpiReport{spi, source, count}});
  return finish(now);
}

Effects AgentCore::on_probe(proto::PeerId peer, proto::SaPairId pair, ByteView payload, Now now) {
  const Result<proto::Probe> probe = proto::decode_probe(payload);
  if (!probe) {
    ++refusals_[std::string(probe.error().code.name())];
    return finish(now);
  }
  switch (probe->type) {
    case proto::ProbeType::kRequest:
      request_cookie_ = probe->cookie;
      feed(rekey::ProbeRequested{peer, pair}, now);
      request_cookie_.reset();
      break;
    case proto::ProbeType::kReply:
      feed(rekey::InboundEvidence{peer, pair, rekey::Evidence::kProbe}, now);
      out_.emplace_back(ProbeReplied{peer, pair, probe->cookie});
      break;
    case proto::ProbeType::kPmtu:
      on_path_mtu_datagram(peer, *probe, payload.size(), now);
      break;
    case proto::ProbeType::kDim:
    case proto::ProbeType::kDimAck:
      break;  // reserved for later versions
  }
  return finish(now);
}

// "Every REQUEST gets one REPLY on the current choice"; the machine counts them.
void AgentCore::carry(const rekey::AnswerProbe& effect, Now) {
  CYGNET_ASSERT(request_cookie_.has_value());
  proto::Probe reply;
  reply.type = proto::ProbeType::kReply;
  reply.cookie = *request_cookie_;
  Result<Bytes> payload = proto::encode_probe(reply);
  CYGNET_ASSERT(payload.has_value());
  out_.emplace_back(SendProbePayload{effect.peer, effect.pair, std::move(*payload)});
}

Effects AgentCore::on_time(Now now) {
  feed(rekey::TimePassed{}, now);
  pass_path_time(now);
  return finish(now);
}

bool AgentCore::publish_waits() const {
  const rekey::DeviceStatus status = rekey_.device_status();
  if (status.rekey_wanted) return true;
  return std::any_of(status.generations.begin(), status.generations.end(),
                     [](const auto& g) { return g.phase != rekey::GenerationPhase::kAccepted; });
}

rekey::RekeyParams AgentCore::rekey_params(const MeshSettings& settings) const {
  rekey::RekeyParams params;
  params.soft = settings.rekey_every;
  params.soft_jitter_permille = settings.rekey_jitter_permille;
  params.hard = settings.lifetime_hard;
  params.drain = settings.drain;
  params.forget_cap = settings.forget_cap;
  params.rules = seams_.rules;
  return params;
}

std::size_t AgentCore::nonce_collisions(ByteView nonce) const {
  if (!offer_) return 0;
  proto::Dim candidate =
      compose_dim(identity_.device, *offer_, {}, {}, Bytes(nonce.begin(), nonce.end()));
  for (const crypto::DhGroup group : offer_->groups) {
    candidate.kes.push_back({static_cast<std::uint16_t>(group), {}});
  }
  std::set<proto::Spi> used;
  std::size_t collisions = 0;
  const auto claim = [&](const proto::Dim& local, const proto::Dim& remote, bool count) {
    const auto agreement = proto::negotiate(local, remote, settings_->ppk_mandatory);
    if (!agreement) return;
    const auto spis = inbound_spis(local, remote, *agreement);
    if (!spis) return;
    for (const proto::Spi spi : *spis) {
      if (!used.insert(spi).second && count) ++collisions;
    }
  };
  for (const Peer& peer : peers_) {
    for (const auto& [counter, held] : peer.dims) {
      for (const auto& [own_counter, own] : own_) {
        if (own.dim) claim(*own.dim, held.dim->dim, false);
      }
    }
  }
  for (const Peer& peer : peers_) {
    for (const auto& [counter, held] : peer.dims) claim(candidate, held.dim->dim, true);
  }
  return collisions;
}

}  // namespace cygnet::agent
