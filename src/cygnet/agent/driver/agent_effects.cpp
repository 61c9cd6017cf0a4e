// SPDX-License-Identifier: Apache-2.0
// Agent: the core's effects, one by one.
#include <algorithm>

#include "cygnet/agent/driver/agent.h"
#include "cygnet/base/assert.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/probe/probe.h"
#include "cygnet/proto/rekey/effect_text.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent {

// Effects are carried out in list order before the next event is handed in, also when one of them
// makes the data plane call back at once.
void Agent::event(rt::UniqueFunction<Effects(AgentCore&, Now)> call) {
  if (stopped_) return;
  waiting_.push_back(std::move(call));
  if (busy_) return;
  busy_ = true;
  while (!waiting_.empty() && !stopped_) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    carry_out(next(*core_, now()));
  }
  busy_ = false;
  arm_timer();
}

void Agent::carry_out(Effects effects) {
  for (Effect& effect : effects) {
    std::visit([this](auto& e) { run(e); }, effect);
  }
  flush_claims();
}

void Agent::arm_timer() {
  const auto at = core_->next_deadline();
  if (!at) {
    timer_.cancel();
    return;
  }
  timer_.arm_at(*at, [this] { event([](AgentCore& core, Now now) { return core.on_time(now); }); });
}

// ---- Own generations ----

void Agent::run(StoreBootCount& effect) {
  const Status stored = journal_->set_boot_count(effect.boot_count);
  if (stored) return;
  // A boot count that is not on disk must not be used: peers would take the next one for stale.
  on_fault(Error(stored.error()).within("storing the boot count"));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//# PFS is achieved between rekey periods, as DH pairs are required to be generated independently.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//# When a device supports more than one DH group, then a unique DH public number MUST be specified
//# for each in order of preference.
void Agent::run(MakeGeneration& effect) {
  workers_->submit(
      [groups = effect.groups]() -> Result<std::vector<crypto::DhPrivate>> {
        std::vector<crypto::DhPrivate> privates;
        for (const crypto::DhGroup group : groups) {
          CYGNET_TRY(crypto::DhPrivate dh, crypto::DhPrivate::generate(group));
          privates.push_back(std::move(dh));
        }
        return privates;
      },
      [this, counter = effect.counter](Result<std::vector<crypto::DhPrivate>> privates) {
        generation_drawn(counter, std::move(privates));
      });
}

void Agent::generation_drawn(proto::RekeyCounter counter,
                             Result<std::vector<crypto::DhPrivate>> privates) {
  if (!privates) {
    event([counter, error = privates.error()](AgentCore& core, Now now) {
      return core.on_generation_failed(counter, error, now);
    });
    return;
  }
  std::vector<proto::DhPublic> kes;
  for (const crypto::DhPrivate& dh : *privates) {
    kes.push_back({static_cast<std::uint16_t>(dh.group()), dh.public_value()});
  }
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
  //# Whenever a DH pair is created, a new nonce MUST also be created.
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.2
  //# It is RECOMMENDED that nonces are generated as described in [Section 2.10 of \[RFC7296\]](#).
  Bytes nonce = crypto::system_random().octets(proto::kNonceLength);
  if (!features_.per_source_spi) {
    // "before publishing, the device tests its nonce against all peers and draws again, at most 8
    // times (a hash each), then takes the draw with fewest"
    constexpr int kDrawsMax = 8;
    std::size_t fewest = core_->nonce_collisions(nonce);
    for (int draw = 1; draw < kDrawsMax && fewest != 0; ++draw) {
      Bytes other = crypto::system_random().octets(proto::kNonceLength);
      const std::size_t collisions = core_->nonce_collisions(other);
      if (collisions >= fewest) continue;
      fewest = collisions;
      nonce = std::move(other);
    }
  }
  keys_.add(counter, std::move(*privates));
  event([counter, kes = std::move(kes), nonce = std::move(nonce), random = random_u32()](
            AgentCore& core, Now now) mutable {
    return core.on_generation_made(counter, std::move(kes), std::move(nonce), random, now);
  });
}

// Signed and on disk before anybody sees it: "own DIMs (octets, fsync before publish)".
void Agent::run(SignDim& effect) {
  disk_->submit(
      [this, dim = std::move(effect.dim)]() mutable -> Result<Bytes> {
        CYGNET_TRY(Bytes octets, proto::sign_dim(dim, mesh_.mesh, *key_));
        CYGNET_CHECK_OK(journal_->add_own_dim(dim.counter, octets));
        return octets;
      },
      [this, counter = effect.counter](Result<Bytes> octets) {
        event([counter, octets = std::move(octets)](AgentCore& core, Now now) mutable {
          if (octets) return core.on_dim_signed(counter, std::move(*octets), now);
          return core.on_dim_not_signed(counter, octets.error(), now);
        });
      });
}

void Agent::run(SendPublish& effect) { link_->send(encode_publish(effect.octets)); }

void Agent::run(EraseKeys& effect) {
  const bool erased = keys_.erase(effect.counter);
  CYGNET_ASSERT(erased);
}

// ---- The data plane ----

void Agent::run(ChooseOutbound& effect) { backend_->choose_outbound(effect.peer, effect.pair); }

void Agent::run(SendProbeRequest& effect) {
  proto::Probe request;
  crypto::system_random().fill(request.cookie);
  auto payload = proto::encode_probe(request);
  CYGNET_ASSERT(payload.has_value());
  backend_->send_probe(effect.peer, effect.pair, std::move(*payload));
}

void Agent::run(SendProbePayload& effect) {
  backend_->send_probe(effect.peer, effect.pair, std::move(effect.payload));
}

void Agent::run(SendPathProbe& effect) {
  backend_->send_path_probe(effect.peer, effect.pair, std::move(effect.payload));
}

void Agent::run(SetPathMtu& effect) {
  const auto view = core_->view(effect.peer);
  rt::log_debug("the path takes packets of another size",
                {{"peer", view ? view->device.value() : std::string()},
                 {"inner_mtu", effect.limit.inner},
                 {"whole", effect.limit.whole}});
  backend_->set_path_mtu(effect.peer, effect.limit.inner, effect.limit.whole);
}

void Agent::run(ProbeReplied& effect) {
  const Bytes cookie(effect.cookie.begin(), effect.cookie.end());
  for (auto& [id, ping] : pings_) {
    const auto it = ping.outstanding.find(cookie);
    if (it == ping.outstanding.end() || ping.peer != effect.peer) continue;
    const std::chrono::duration<double, std::milli> rtt = loop_.now() - it->second;
    ping.result.rtt_ms.push_back(rtt.count());
    ping.outstanding.erase(it);
    if (ping.left == 0 && ping.outstanding.empty()) {
      const std::uint64_t ended = id;
      loop_.post([this, ended, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired()) ping_end(ended);
      });
    }
    return;
  }
}

// ---- Peers ----

void Agent::run(SetPeer& effect) {
  const Status status = backend_->set_peer(effect.config);
  if (status) {
    problems_.erase(effect.config.peer);
    return;
  }
  problems_.insert_or_assign(effect.config.peer, status.error());
  rt::log_warning("a peer's prefixes cannot all be routed", status.error(),
                  {{"peer", effect.config.name}});
}

void Agent::run(RemovePeer& effect) {
  forget_pairs_of(effect.peer);
  heard_.erase(effect.peer);
  problems_.erase(effect.peer);
  // "What policy protects never leaves in clear … Only `cygnet-agent down --open` removes them."
  backend_->remove_peer(effect.peer, true);
}

void Agent::run(SetOwnPrefixes& effect) {
  if (const Status status = backend_->set_self(self(effect.prefixes)); !status) {
    rt::log_warning("the device's own prefixes cannot be used", status.error());
  }
}

void Agent::run(SetSoftPacketLimit& effect) { backend_->set_soft_packet_limit(effect.packets); }

void Agent::run(JudgeDim& effect) {
  judges_->submit(
      [stored = std::move(effect.stored), context = std::move(effect.context)] {
        return proto::check_dim(stored.dim, stored.certificate, *context);
      },
      [this, ticket = effect.ticket](proto::DimCheckResult result) {
        event([ticket, result = std::move(result)](AgentCore& core, Now now) mutable {
          return core.on_dim_judged(ticket, std::move(result), now);
        });
      });
}

// ---- The controller ----

void Agent::run(SendAck& effect) {
  AckMessage ack{effect.cursor, {}};
  for (const PendingDim& item : effect.pending) ack.pending.push_back({item.device, item.counter});
  link_->send(encode_ack(ack));
}
void Agent::run(SendReport& effect) { link_->send(encode_report(effect.report)); }
void Agent::run(SendWant& effect) { link_->send(encode_want(effect.device)); }

// ---- Disk ----

void Agent::run(StoreTable&) { save_table_->request(); }
void Agent::run(StorePins&) { save_pins_->request(); }
void Agent::run(StoreRevocations&) { save_revocations_->request(); }
void Agent::run(StoreServerTime&) { save_time_->request(); }

void Agent::run(KeepEvidence& effect) {
  disk_->submit(
      [this, effect] {
        return directory_.keep_evidence(effect.device, effect.counter, effect.held, effect.seen);
      },
      [](const Status& status) {
        if (!status) rt::log_warning("cannot keep the evidence", status.error());
      });
}

// ---- People ----

void Agent::run(Note& effect) {
  const std::string peer = effect.peer ? effect.peer->value() : std::string();
  const auto level =
      effect.level == NoteLevel::kInfo ? rt::LogLevel::kInfo : rt::LogLevel::kWarning;
  if (effect.level == NoteLevel::kAlarm) {
    ++alarms_[effect.error ? std::string(effect.error->code.name())
                           : effect.message.substr(0, effect.message.find(':'))];
    const std::string message = "ALARM " + effect.message;
    if (effect.error) {
      rt::log(rt::LogLevel::kError, message, *effect.error, {{"peer", peer}});
    } else {
      rt::log(rt::LogLevel::kError, message, {{"peer", peer}});
    }
  } else if (effect.error) {
    rt::log(level, effect.message, *effect.error, {{"peer", peer}});
  } else {
    rt::log(level, effect.message, {{"peer", peer}});
  }
}

void Agent::run(Observed& effect) {
  if (!rt::log_enabled(rt::LogLevel::kDebug)) return;
  const auto& what = effect.what;
  const auto view = what.peer ? core_->view(*what.peer) : std::nullopt;
  proto::rekey::GenerationNames names;
  if (what.peer) names.peers[*what.peer] = 'b';
  const std::string line = proto::rekey::to_text(proto::rekey::Effect(what), names);
  rt::log_debug(rt::trim(line), {{"peer", view ? view->device.value() : std::string()}});
}

}  // namespace cygnet::agent
