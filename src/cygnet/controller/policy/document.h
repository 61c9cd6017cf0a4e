// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A mesh's policy document as a value: what the YAML says, typed, each thing with its place
/// (docs/policy.md). Made by parse.h, checked and compiled by compiled.h. Pure; value types.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/controller/policy/prefix.h"
#include "cygnet/controller/policy/selector.h"
#include "cygnet/proto/dim/dim.h"

namespace cygnet::controller::policy {

/// Line and column, from 1; 0 when a thing was not written (a default, an enrolled device).
struct Place {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

enum class Action : std::uint8_t { kAllow, kDeny };
enum class PairMode : std::uint8_t { kAlways, kOnDemand };
enum class Derive : std::uint8_t { kLazy, kEager };
enum class Profile : std::uint8_t { kDefault, kFips };

struct ProposalSpec {
  std::string text;
  proto::IpsecPolicy policy;
  Place place;
};

struct RekeySpec {
  std::chrono::milliseconds every = std::chrono::hours(1);  ///< soft lifetime
  std::uint32_t jitter_permille = 100;
  std::uint64_t packets = 0;  ///< 0: not by packets
  friend bool operator==(const RekeySpec&, const RekeySpec&) = default;
};

struct PrefixSpec {
  IpPrefix net;
  std::uint32_t priority = 0;  ///< lower wins among equal prefixes; 0 when not given
  Place place;
};

struct DeviceSpec {
  std::string name;           ///< the first label of `<name>.<mesh>`
  std::vector<Label> labels;  ///< sorted by key, keys distinct
  std::vector<PrefixSpec> prefixes;
  std::vector<IpEndpoint> endpoints;
  Place place;
};

struct RuleSpec {
  Selector from;
  Selector to;
  Action action = Action::kAllow;
  PairMode mode = PairMode::kAlways;
  std::string via;               ///< device name; empty: no relay
  std::optional<Derive> derive;  ///< nullopt: the mesh's
  bool transport = false;        ///< `mode: transport` was written
  Place place;
  Place mode_place;
  Place via_place;
  Place derive_place;
};

struct TestSpec {
  std::string from;
  std::string to;
  Action expect = Action::kAllow;
  Place place;
  Place from_place;
  Place to_place;
};

struct NameSpec {
  std::string name;
  Place place;
};

struct Document {
  std::string source;  ///< file name for error places ("mesh.yaml")
  std::string mesh;    ///< one lower-case DNS label
  Place mesh_place;
  Profile profile = Profile::kDefault;
  std::vector<ProposalSpec> proposals;  ///< never empty: the profile's defaults when not given
  Place proposals_place;
  RekeySpec rekey;
  Place rekey_place;
  std::chrono::milliseconds lifetime = std::chrono::hours(24);  ///< hard lifetime
  Place lifetime_place;
  std::uint16_t lanes = 1;
  std::uint32_t replay_window = 1024;  ///< packets
  std::chrono::milliseconds drain = std::chrono::seconds(10);
  std::chrono::milliseconds forget_cap = std::chrono::minutes(3);
  Derive derive = Derive::kLazy;
  Place derive_place;
  bool ppk_mandatory = false;
  Place ppk_place;
  std::vector<DeviceSpec> devices;
  std::vector<RuleSpec> rules;
  std::vector<TestSpec> tests;
  std::vector<NameSpec> rekeyed;  ///< devices whose pinned key may be replaced
};

/// "mesh.yaml:14:7"; only the source when the place is not known.
[[nodiscard]] std::string where(const Document& document, Place place);
/// The line and column at the end of an Error's `where`; 0, 0 when it names none.
[[nodiscard]] Place place_in(const Error& error);

[[nodiscard]] std::string_view to_string(Action action);
[[nodiscard]] std::string_view to_string(PairMode mode);
[[nodiscard]] std::string_view to_string(Derive derive);
[[nodiscard]] std::string_view to_string(Profile profile);

}  // namespace cygnet::controller::policy
