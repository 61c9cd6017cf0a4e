// SPDX-License-Identifier: Apache-2.0
// The publish pipeline (protocol sections 3 and 7).
#include <algorithm>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/messages.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ids/device_name.h"

namespace cygnet::controller {
namespace {

/// The nonce table's key.
std::string key_of(ByteView nonce) { return std::string(as_text(nonce)); }

/// The counter a refusal names: from the DIM when it can be read at all.
std::uint64_t counter_in(ByteView octets) {
  const auto dim = proto::decode_dim(octets);
  return dim ? dim->counter.to_wire() : 0;
}

}  // namespace

proto::DimCheckContext Core::check_context(const Session& session, Times now) const {
  const DeviceIndex self = session.device;
  proto::DimCheckContext context;
  context.mesh = mesh_.id;
  context.now = now.wall;
  context.trust = trust_;
  context.proofs = setup_.proofs;
  context.last_accepted = [this, self](const proto::DeviceName&) { return devices_[self].known; };
  context.is_revoked = [this](const crypto::Certificate& c) { return key_revoked(c); };
  context.nonce_holder = [this](const proto::DeviceName&,
                                ByteView nonce) -> std::optional<std::string> {
    const auto it = nonces_.find(key_of(nonce));
    if (it == nonces_.end()) return std::nullopt;
    return full_name(it->second);
  };
  return context;
}

void Core::refuse_publish(SessionId id, DeviceIndex device, std::uint64_t counter,
                          const Error& error, const RelayedDim* newer) {
  counters_.add("publish-refused");
  counters_.add("publish-refused." + std::string(error.code.name()));
  if (error.code != kErrRate) {  // a flood is counted, not written down line by line
    note(Event::Level::kWarning, "publish.refused", full_name(device), error.to_string());
  }
  send(id, encode_refused(counter, error, newer));
}

void Core::on_publish(SessionId id, Session& session, ByteView dim, Times now) {
  counters_.add("publishes");
  DeviceEntry& known = entry(session.device);
  if (!known.publishes.take(now.mono)) {
    return refuse_publish(id, session.device, counter_in(dim),
                          Error{kErrRate, "more DIMs than the limit publishes_per_minute allows",
                                std::to_string(setup_.limits.publishes_per_minute) + " a minute",
                                "publish again in a minute"},
                          nullptr);
  }
  if (known.publishing) {
    // One at a time to the store; of those that wait meanwhile only the newest matters, but each
    // gets its answer.
    if (known.waiting_publish) {
      refuse_publish(known.waiting_publish->first, session.device,
                     counter_in(known.waiting_publish->second),
                     Error{kErrRate,
                           "a later publish of this device took this one's place",
                           {},
                           "wait for a PublishResult before the next PublishDim"},
                     nullptr);
    }
    known.waiting_publish = {id, Bytes(dim.begin(), dim.end())};
    return;
  }
  start_publish(id, session.device, dim, now);
}

void Core::start_publish(SessionId id, DeviceIndex device, ByteView octets, Times now) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end() || it->second.closing) return;
  Session& session = it->second;
  DeviceEntry& known = entry(device);

  // Size and form, then: identity of the stream equals identity of the DIM.
  auto form = proto::decode_dim(octets);
  if (!form) return refuse_publish(id, device, 0, form.error(), nullptr);
  const std::uint64_t counter = form->counter.to_wire();
  if (form->device.value() != session.name) {
    return refuse_publish(
        id, device, counter,
        Error{kErrIdentity,
              "the DIM is of " + form->device.value() + ", the stream of " + session.name,
              "IDi payload", "publish only your own DIM"},
        nullptr);
  }
  if (known.revoked) {
    return refuse_publish(id, device, counter,
                          Error{kErrRevokedDevice,
                                session.name + " is revoked",
                                {},
                                "join under another name with a new key"},
                          nullptr);
  }
  if (session.expired) {
    // Also when a newer certificate is on record (the device lost the answer to its renewal): it
    // would publish and hear no peers.
    return refuse_publish(id, device, counter,
                          Error{crypto::kErrCertificateExpired,
                                "the certificate this stream was opened with has ended",
                                session.name, "renew it, then connect with the new one"},
                          nullptr);
  }

  // Counter rules and checks of protocol section 3, against the newest certificate of the key.
  const crypto::Certificate& certificate =
      known.certificate ? *known.certificate : session.certificate;
  proto::DimCheckResult checked =
      proto::check_dim(octets, certificate.der(), check_context(session, now));
  switch (checked.verdict) {
    case proto::DimVerdict::kSame: {
      // "acknowledges a publish equal to the stored DIM as accepted"
      const RelayedDim* stored = relay_->dim_of(device);
      if (stored == nullptr) break;
      counters_.add("publish-same");
      send(id, encode_accepted(form->counter, stored->accepted_at));
      return;
    }
    case proto::DimVerdict::kStale: {
      counters_.add("publish-stale");
      return refuse_publish(
          id, device, counter,
          checked.error.value_or(Error{proto::kErrStaleDim, "the controller holds a newer DIM"}),
          relay_->dim_of(device));
    }
    case proto::DimVerdict::kEquivocation: {
      // "EQUIVOCATION, refused; alarmed only after AUTH verifies, both kept as evidence"
      counters_.add("equivocation");
      const RelayedDim* stored = relay_->dim_of(device);
      note(Event::Level::kAlarm, "alarm.equivocation", session.name,
           "two different DIMs with counter " + to_string(form->counter) +
               ": the device was cloned or its memory rolled back");
      if (!known.equivocation_alarmed) {
        known.equivocation_alarmed = true;  // the first is evidence enough; the disk is finite
        const std::string before = stored != nullptr ? "\"" + to_hex(*stored->dim) + "\"" : "";
        commit(
            [&](store::WriteBatch& batch, Position) {
              batch.add(store::AppendAudit{audit("device:" + session.name, "alarm.equivocation",
                                                 session.name, before, "\"" + to_hex(octets) + "\"",
                                                 now)});
            },
            [](const Status&, Position, Times) {});
      }
      return refuse_publish(
          id, device, counter,
          checked.error.value_or(Error{proto::kErrEquivocation, "another DIM has this counter"}),
          stored);
    }
    case proto::DimVerdict::kRefused:
      return refuse_publish(
          id, device, counter,
          checked.error.value_or(Error{proto::kErrStaleDim, "the DIM does not pass the checks"}),
          nullptr);
    case proto::DimVerdict::kAccepted:
      break;
  }
  if (!checked.dim) {
    return refuse_publish(id, device, counter,
                          Error{proto::kErrStaleDim,
                                "this counter was used before",
                                {},
                                "raise the boot count and publish again"},
                          nullptr);
  }
  if (form->counter <= known.high_water) {
    // The name was used by an earlier device; its counters stay used.
    return refuse_publish(
        id, device, counter,
        Error{proto::kErrStaleDim,
              "counters up to " + to_string(known.high_water) + " were used under this name",
              {},
              "raise the boot count above " + std::to_string(known.high_water.boot_count())},
        nullptr);
  }

  known.publishing = Publishing{id, *checked.dim, now.wall};
  // Held from now on: of two publishes with one nonce only the first may pass.
  nonces_[key_of(known.publishing->dim.dim.nonce)] = device;
  const proto::AcceptedDim& dim = known.publishing->dim;
  commit(
      [&](store::WriteBatch& batch, Position at) {
        batch.add(store::PutDim{{std::string(proto::name_label(dim.dim.device)), dim.dim.counter,
                                 dim.octets, dim.certificate.der(), now.wall, at}});
      },
      [this, device](const Status& status, Position at, Times when) {
        publish_done(device, status, at, when);
      });
}

void Core::publish_done(DeviceIndex device, const Status& status, Position at, Times now) {
  DeviceEntry& known = entry(device);
  Publishing publishing = std::move(*known.publishing);
  known.publishing.reset();
  const proto::RekeyCounter counter = publishing.dim.dim.counter;
  if (!status) {
    // "disk full refuses publishes with an error to the device and keeps serving what it has"
    nonces_.erase(key_of(publishing.dim.dim.nonce));
    Error error = status.error();
    if (error.cure.empty()) error.cure = "free the controller's disk; publish again later";
    refuse_publish(publishing.session, device, counter.to_wire(), error, nullptr);
  } else if (known.revoked) {
    nonces_.erase(key_of(publishing.dim.dim.nonce));
  } else {
    counters_.add("publish-accepted");
    known.known = publishing.dim.known();
    known.high_water = counter;
    keep_generation(known, device, std::make_shared<const proto::Dim>(publishing.dim.dim));
    // durable -> fan out -> acknowledge, in that order
    if (held_) ++held_publishes_;
    if (held_ && held_until_publishes_ > 0 && --held_until_publishes_ == 0) release_relay();
    relay_->set_dim(device,
                    RelayedDim{std::make_shared<const Bytes>(std::move(publishing.dim.octets)),
                               std::make_shared<const Bytes>(
                                   known.certificate ? known.certificate->der()
                                                     : publishing.dim.certificate.der()),
                               publishing.accepted_at},
                    counter, at, now.mono);
    wake_relay();
    send(publishing.session, encode_accepted(counter, publishing.accepted_at));
    note(Event::Level::kInfo, "publish.accepted", full_name(device), to_string(counter));
  }
  if (known.waiting_publish) {
    auto [session, octets] = std::move(*known.waiting_publish);
    known.waiting_publish.reset();
    start_publish(session, device, octets, now);
  }
}

void Core::keep_generation(DeviceEntry& known, DeviceIndex device,
                           std::shared_ptr<const proto::Dim> dim) {
  nonces_[key_of(dim->nonce)] = device;
  known.generations.push_front({std::move(dim)});
  while (known.generations.size() > setup_.limits.generations_kept) {
    nonces_.erase(key_of(known.generations.back().dim->nonce));
    known.generations.pop_back();
  }
}

}  // namespace cygnet::controller
