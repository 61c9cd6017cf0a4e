// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/pki.h"

#include <charconv>
#include <mutex>

#include "cygnet/base/assert.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::sim {
namespace {

template <class T>
T must(Result<T> result) {
  CYGNET_ASSERT(result.has_value());
  return std::move(*result);
}

}  // namespace

crypto::MeshId mesh_id() {
  crypto::MeshId id{};
  id.fill(0x5c);
  return id;
}

std::string label_of(DeviceId device) {
  std::string digits = std::to_string(device);
  return "d" + std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

proto::DeviceName name_of(DeviceId device) {
  return proto::DeviceName(label_of(device) + "." + kMeshName);
}

std::optional<DeviceId> device_of(std::string_view name) {
  const std::size_t dot = name.find('.');
  if (name.empty() || name[0] != 'd' || dot == std::string_view::npos) return std::nullopt;
  DeviceId id = 0;
  const auto read = std::from_chars(name.data() + 1, name.data() + dot, id);
  if (read.ec != std::errc() || read.ptr != name.data() + dot) return std::nullopt;
  return id;
}

std::shared_ptr<const Pki> Pki::of(std::uint32_t devices) {
  static std::mutex mutex;
  static std::shared_ptr<const Pki> made;
  const std::scoped_lock lock(mutex);
  if (!made || made->identities_.size() < devices) made.reset(new Pki(devices));
  return made;
}

Pki::Pki(std::uint32_t devices) {
  const auto ca_key = must(crypto::IdentityKey::generate(crypto::KeyType::kEd25519));
  crypto::CertificateSpec root;
  root.spki = ca_key.spki();
  root.common_name = "simulated CA";
  root.not_before = kEpoch - std::chrono::hours(24);
  root.not_after = kEpoch + std::chrono::hours(24 * 3650);
  root.is_ca = true;
  ca_ = must(crypto::issue(root, ca_key, std::nullopt));
  stranger_ = must(crypto::IdentityKey::generate(crypto::KeyType::kEd25519));

  std::size_t length = 0;
  for (DeviceId id = 0; id < devices; ++id) {
    auto key = must(crypto::IdentityKey::generate(crypto::KeyType::kEd25519));
    const proto::DeviceName name = name_of(id);
    crypto::CertificateSpec spec;
    spec.spki = key.spki();
    spec.common_name = name.value();
    spec.dns_sans = {name.value()};
    spec.uri_sans = {proto::identity_uri(mesh_id(), name)};
    spec.not_before = kEpoch - std::chrono::hours(24);
    spec.not_after = kEpoch + std::chrono::hours(24 * 365);
    spec.client_auth = true;
    auto certificate = must(crypto::issue(spec, ca_key, ca_));
    // Serial numbers are random and now and then an octet shorter: those are drawn again.
    for (int i = 0; i < 8; ++i) {
      if (length != 0 && certificate.der().size() == length) break;
      auto other = must(crypto::issue(spec, ca_key, ca_));
      if (other.der().size() > certificate.der().size()) certificate = std::move(other);
      length = std::max(length, certificate.der().size());
    }
    identities_.push_back({std::move(key), std::move(certificate)});
  }
}

}  // namespace cygnet::sim
