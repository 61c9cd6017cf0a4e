// SPDX-License-Identifier: Apache-2.0
// What operators ask: tokens, policy, rekey, revoke.
#include <algorithm>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/messages.h"

namespace cygnet::controller {

void Core::add_token(RequestId request, store::TokenRecord token, const std::string& who,
                     Times now) {
  const std::string object = to_hex(ByteView(token.hash).first(6));
  commit(
      [&](store::WriteBatch& batch, Position) {
        batch.add(store::PutToken{token});
        batch.add(store::AppendAudit{
            audit(who, "token.create", object, {},
                  token.device ? "{\"device\":\"" + *token.device + "\"}" : std::string{}, now)});
      },
      [this, request, token](const Status& status, Position, Times) {
        if (status) tokens_.push_back(token);
        operator_done(request, status);
      });
  finish(now);
}

void Core::apply_policy(RequestId request, std::string yaml, policy::CompiledPolicy compiled,
                        std::optional<std::uint64_t> expect_version, std::string comment,
                        const std::string& who, Times now) {
  const std::uint64_t version = policy_version() + 1;
  if (policy_applying_ || (expect_version && *expect_version != policy_version())) {
    operator_done(request, fail(kErrPolicyVersion,
                                policy_applying_ ? std::string("another policy is being applied")
                                                 : "the policy in force is version " +
                                                       std::to_string(policy_version()) + ", not " +
                                                       std::to_string(*expect_version),
                                "policy", "look at the policy in force, plan again, apply again"));
    return finish(now);
  }
  policy_applying_ = true;
  auto next = std::make_shared<std::unique_ptr<policy::CompiledPolicy>>(
      std::make_unique<policy::CompiledPolicy>(std::move(compiled)));
  auto record = std::make_shared<store::PolicyRecord>();
  commit(
      [&](store::WriteBatch& batch, Position at) {
        *record = {{version, now.wall, who, std::move(comment), at}, std::move(yaml)};
        batch.add(store::PutPolicy{*record});
        batch.add(store::AdvancePosition{at});
        batch.add(store::AppendAudit{
            audit(who, "policy.apply", "version " + std::to_string(version), {}, {}, now)});
      },
      [this, request, next, record](const Status& status, Position at, Times when) {
        policy_applying_ = false;
        if (status) {
          policy_headers_.push_back(record->header);
          policy_yaml_ = record->yaml;
          settings_ = encode_settings((*next)->document(), record->header.version);
          adopt_policy(std::move(*next), at, when);
          for (const auto& [id, session] : sessions_) {
            if (relay_->session_of(session.device) == id) {
              relay_->set_settings(session.device, settings_for(session.device));
            }
          }
          counters_.add("policies-applied");
          note(Event::Level::kInfo, "policy.applied", {},
               "version " + std::to_string(record->header.version) + " by " +
                   record->header.applied_by);
        }
        operator_done(request, status);
      });
  finish(now);
}

void Core::revoke(RequestId request, const std::string& name, const std::string& reason,
                  const std::string& who, Times now) {
  const auto index = index_of(name);
  const DeviceEntry* known = index ? find_entry(*index) : nullptr;
  if (known == nullptr || !known->record) {
    operator_done(request, fail(kErrNotFoundHere, "no device " + name + " is enrolled", name,
                                "list the devices: cygnet get devices"));
    return finish(now);
  }
  if (known->revoked) {
    operator_done(request, {});  // it is so already
    return finish(now);
  }
  // "Revocations (by key and serial) ... carry a number that only rises" (protocol section 7)
  const std::uint64_t number = std::max(revocation_number_, revocation_reserved_) + 1;
  revocation_reserved_ = number;
  store::DeviceRecord record = *known->record;
  record.state = store::DeviceState::kRevoked;
  const auto pin = crypto::sha256({record.spki});
  const Bytes serial = known->certificate ? known->certificate->serial() : Bytes{};
  const store::RevocationRecord revocation{number, name, pin, serial, now.wall, reason};
  commit(
      [&](store::WriteBatch& batch, Position at) {
        batch.add(store::AddRevocation{revocation});
        batch.add(store::PutDevice{record});
        batch.add(store::PutTombstone{{name, at, now.wall}});
        batch.add(store::AppendAudit{audit(who, "device.revoke", name, {},
                                           "{\"number\":" + std::to_string(number) + "}", now)});
      },
      [this, request, device = *index, record, revocation](const Status& status, Position at,
                                                           Times when) {
        if (status && !entry(device).revoked) {
          entry(device).record = record;
          revocations_.push_back(revocation);
          rebuild_revocations();
          // Within one relay round: the tombstone and the list leave in each peer's next update,
          // the list in everyone else's.
          apply_revocation(device, at, when);
          relay_->set_revocations(revocations_octets_);
          for (const auto& [id, session] : sessions_) {
            if (session.device == device && !session.closing) {
              go_away(id,
                      Error{kErrRevokedDevice,
                            session.name + " was revoked",
                            {},
                            "join under another name with a new key"},
                      60'000);
            }
          }
          relay_->detach(device, when.mono);
          counters_.add("revoked");
          note(Event::Level::kWarning, "device.revoked", full_name(device), revocation.reason);
        }
        operator_done(request, status);
      });
  finish(now);
}

void Core::rekey(RequestId request, std::optional<std::string> name, const std::string& who,
                 Times now) {
  std::vector<DeviceIndex> devices;
  if (name) {
    const auto index = index_of(*name);
    if (!index || (find_entry(*index) == nullptr)) {
      operator_done(request, fail(kErrNotFoundHere, "no device " + *name + " is known", *name,
                                  "list the devices: cygnet get devices"));
      return finish(now);
    }
    devices.push_back(*index);
  } else {
    for (DeviceIndex device = 0; device < devices_.size(); ++device) {
      if (devices_[device].record) devices.push_back(device);
    }
  }
  commit(
      [&](store::WriteBatch& batch, Position) {
        batch.add(store::AppendAudit{
            audit(who, name ? "device.rekey" : "mesh.rekey", name.value_or("*"), {}, {}, now)});
      },
      [this, request, devices, who](const Status& status, Position, Times) {
        // An order to rekey is given even when the log of it cannot be written: it harms nothing.
        for (const DeviceIndex device : devices) {
          if (const auto session = relay_->session_of(device)) {
            counters_.add("rekeys-ordered");
            send(*session, encode_rekey("ordered by " + who));
          } else if (!gone(device)) {
            counters_.add("rekeys-deferred");
            entry(device).rekey_due = who;
          }
        }
        (void)status;
        operator_done(request, {});
      });
  finish(now);
}

void Core::set_trust(RequestId request, std::vector<Bytes> trust, const std::string& who,
                     Times now) {
  std::vector<crypto::Certificate> parsed;
  for (const Bytes& der : trust) {
    auto certificate = crypto::Certificate::from_der(der);
    if (!certificate) {
      operator_done(request, fail(std::move(certificate).error()));
      return finish(now);
    }
    parsed.push_back(std::move(*certificate));
  }
  commit(
      [&](store::WriteBatch& batch, Position) {
        batch.add(store::SetTrust{trust});
        batch.add(
            store::AppendAudit{audit(who, "trust.set", std::to_string(trust.size()), {}, {}, now)});
      },
      [this, request, trust, parsed](const Status& status, Position, Times) {
        if (status) {
          trust_der_ = trust;
          trust_ = parsed;
        }
        operator_done(request, status);
      });
  finish(now);
}

}  // namespace cygnet::controller
