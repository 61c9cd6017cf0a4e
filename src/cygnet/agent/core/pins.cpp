// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/pins.h"

#include "cygnet/proto/ids/device_name.h"

namespace cygnet::agent {
namespace {

bool named_in_policy(const proto::DeviceName& device, const MeshSettings& settings) {
  if (settings.rekeyed.empty()) return false;
  return settings.rekeyed.contains(std::string(proto::name_label(device))) ||
         settings.rekeyed.contains(device.value());
}

}  // namespace

std::function<std::optional<proto::KeyPin>(const crypto::Sha256&)> Pins::judge_later(
    const proto::DeviceName& device, const MeshSettings& settings) const {
  const auto it = entries_.find(device);
  if (it == entries_.end()) return [](const crypto::Sha256&) { return std::nullopt; };
  const Pin& pin = it->second;
  const bool by_policy =
      named_in_policy(device, settings) && settings.policy_version > pin.changed_at_version;
  return [pin, by_policy](const crypto::Sha256& shown) -> std::optional<proto::KeyPin> {
    return proto::KeyPin{pin.spki_sha256, by_policy || pin.confirmed == shown};
  };
}

Pins::Change Pins::take(const proto::DeviceName& device, const crypto::Sha256& key,
                        const MeshSettings& settings) {
  const auto [it, first] =
      entries_.try_emplace(device, Pin{key, settings.policy_version, std::nullopt});
  if (first) return Change::kFirst;
  if (it->second.spki_sha256 == key) return Change::kNone;
  const bool by_operator = it->second.confirmed == key;
  it->second =
      Pin{key, by_operator ? it->second.changed_at_version : settings.policy_version, std::nullopt};
  return Change::kReplaced;
}

void Pins::confirm(const proto::DeviceName& device, const crypto::Sha256& key) {
  const auto [it, first] = entries_.try_emplace(device, Pin{key, 0, std::nullopt});
  if (!first && it->second.spki_sha256 != key) it->second.confirmed = key;
}

}  // namespace cygnet::agent
