// SPDX-License-Identifier: Apache-2.0
// Agent: what the controller tells, discovery and certificate renewal.
#include <arpa/inet.h>

#include <algorithm>

#include "cygnet/agent/driver/agent.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent {
namespace {

constexpr Duration kDiscoveryFirst = std::chrono::milliseconds(500);
constexpr Duration kDiscoveryEvery = std::chrono::seconds(20);
constexpr std::uint32_t kDiscoveryTries = 5;
constexpr Duration kRenewalRetry = std::chrono::minutes(10);

std::optional<IpAddress> address_of(const std::string& text) {
  IpAddress address;
  if (inet_pton(AF_INET, text.c_str(), address.octets.data()) == 1) return address;
  address.is_v6 = true;
  if (inet_pton(AF_INET6, text.c_str(), address.octets.data()) == 1) return address;
  return std::nullopt;
}

}  // namespace

std::uint32_t Agent::random_u32() {
  const Bytes octets = crypto::system_random().octets(4);
  return load_be32(octets.data());
}

void Agent::welcomed(const WelcomeMessage& message) {
  take_trust(message.trust);
  event([welcome = message.welcome](AgentCore& core, Now now) {
    return core.on_welcome(welcome, now);
  });
  discovery_ = message.discovery;
  discovery_tries_ = 0;
  discover();
  plan_renewal();
}

void Agent::received(ControllerMessage message) {
  std::visit(
      [this](auto& m) {
        using T = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<T, Update>) {
          event([m = std::move(m)](AgentCore& core, Now now) { return core.on_update(m, now); });
        } else if constexpr (std::is_same_v<T, PublishResult>) {
          event([m = std::move(m)](AgentCore& core, Now now) {
            return core.on_publish_result(m, now);
          });
        } else if constexpr (std::is_same_v<T, PublishStatus>) {
          event([m = std::move(m)](AgentCore& core, Now now) {
            return core.on_publish_status(m, now);
          });
        } else if constexpr (std::is_same_v<T, RekeyCommand>) {
          rt::log_info("the controller orders a rekey", {{"reason", m.reason}});
          order_rekey();
        } else if constexpr (std::is_same_v<T, MissingNewestCommand>) {
          event([peer = m.peer](AgentCore& core, Now now) {
            return core.on_missing_newest(peer, now);
          });
        } else if constexpr (std::is_same_v<T, RenewedMessage>) {
          renewed(m);
        }
        // A second Welcome and Goaway end in the link; unknown messages are ignored.
      },
      message);
}

// ---- Discovery ----

// Repeated until answered, then as often as a NAT needs to keep the mapping.
void Agent::discover() {
  if (!discovery_ || link_->state() != ControllerLink::State::kUp) return;
  const auto remote = link_->remote_address();
  const auto address = remote ? address_of(remote->host) : std::nullopt;
  if (!address) return;
  backend_->send_control_datagram(UdpEndpoint{*address, discovery_->udp_port, 0},
                                  encode_discovery(discovery_->cookie));
  const bool eager = !seen_endpoint_ && ++discovery_tries_ < kDiscoveryTries;
  discovery_timer_.arm_after(eager ? kDiscoveryFirst : kDiscoveryEvery, [this] { discover(); });
}

// ---- Certificates ----

void Agent::store(const char* what, std::function<Status()> job) {
  disk_->submit(std::move(job), [this, what](const Status& status) {
    if (status) return;
    ++alarms_["not-stored"];
    rt::log_error(std::string("cannot store ") + what, status.error());
  });
}

// "a controller without the CA key cannot swap a DIM": so a new trust anchor has to be signed by
// one that is trusted already. Taking one away is the controller's to decide.
void Agent::take_trust(const std::vector<Bytes>& trust) {
  if (trust.empty()) return;
  const std::vector<crypto::Certificate>& current = core_->identity().trust;
  std::vector<crypto::Certificate> next;
  for (const Bytes& der : trust) {
    const auto same = std::find_if(current.begin(), current.end(),
                                   [&der](const auto& c) { return c.der() == der; });
    if (same != current.end()) {
      next.push_back(*same);
      continue;
    }
    auto anchor = crypto::Certificate::from_der(der);
    Status proven = anchor ? crypto::verify_chain(*anchor, {}, current, core_->trusted_now(now()))
                           : Status(fail(anchor.error()));
    if (proven && !anchor->is_ca()) {
      proven = fail(crypto::kErrCertificateChain, "it is no CA certificate");
    }
    if (proven) {
      next.push_back(std::move(*anchor));
      continue;
    }
    rt::log_warning("a new trust anchor is not signed by one this device trusts; left out",
                    proven.error());
    ++alarms_["trust-unproven"];
    link_->send(encode_report(AlarmReport{"trust-unproven", proven.error().to_string()}));
  }
  const bool equal_lists =
      next.size() == current.size() &&
      std::equal(next.begin(), next.end(), current.begin(),
                 [](const auto& a, const auto& b) { return a.der() == b.der(); });
  if (next.empty() || equal_lists) return;
  rt::log_info("the trust bundle changes", {{"anchors", next.size()}});
  link_->replace_trust(next);
  store("the trust bundle", [this, next] { return directory_.store_trust(next); });
  event([certificate = core_->identity().certificate, next](AgentCore& core, Now now) {
    return core.on_certificate_renewed(certificate, next, now);
  });
}

// "renewed over the stream from half their life on, same key"
void Agent::plan_renewal() {
  const crypto::Certificate& certificate = core_->identity().certificate;
  const auto half =
      certificate.not_before() + (certificate.not_after() - certificate.not_before()) / 2;
  const Duration wait = half - core_->trusted_now(now());
  renewal_timer_.arm_after(std::max<Duration>(wait, Duration(0)), [this] { ask_renewal(); });
}

void Agent::ask_renewal() {
  renewal_timer_.arm_after(kRenewalRetry, [this] { ask_renewal(); });
  const auto csr =
      key_->make_csr(mesh_.device.value(), proto::identity_uri(mesh_.mesh, mesh_.device));
  if (!csr) {
    rt::log_error("cannot ask for a new certificate", csr.error());
    return;
  }
  link_->send(encode_renewal(*csr));
}

void Agent::renewed(const RenewedMessage& message) {
  if (message.refusal) {
    ++refused_["certificate-renewal"];
    rt::log_warning("the controller does not renew the certificate", *message.refusal);
    return;
  }
  auto certificate = crypto::Certificate::from_der(message.certificate);
  Status usable = certificate ? Status() : Status(fail(certificate.error()));
  if (usable && certificate->spki() != key_->spki()) {
    usable = fail(crypto::kErrCertificate, "the new certificate is for another key");
  }
  if (usable) {
    const auto identity = proto::identity_of_leaf(*certificate);
    if (!identity || identity->device != mesh_.device || identity->mesh != mesh_.mesh) {
      usable = fail(crypto::kErrCertificate, "the new certificate is for another device");
    }
  }
  take_trust(message.trust);
  if (usable) {
    usable =
        crypto::verify_chain(*certificate, {}, core_->identity().trust, core_->trusted_now(now()));
  }
  if (usable) usable = link_->replace_identity({*key_, {*certificate}});
  if (!usable) {
    ++refused_["certificate-renewal"];
    rt::log_warning("the new certificate is of no use; the old one stays", usable.error());
    return;
  }
  store("the new certificate",
        [this, c = *certificate] { return directory_.store_certificate(c); });
  event([c = *certificate](AgentCore& core, Now now) {
    return core.on_certificate_renewed(c, {}, now);
  });
  rt::log_info("the certificate is renewed");
  plan_renewal();
}

}  // namespace cygnet::agent
