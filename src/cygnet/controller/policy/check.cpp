// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/check.h"

#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>

#include "cygnet/base/in_quotes.h"
#include "cygnet/controller/policy/nearest.h"
#include "cygnet/controller/policy/parse.h"
#include "cygnet/proto/ids/device_name.h"

namespace cygnet::controller::policy {
namespace {

using std::chrono::milliseconds;

std::string at_place(const Document& document, Place place) {
  return place.line == 0 ? std::string("where it was enrolled") : where(document, place);
}

class Checker {
 public:
  Checker(const Document& document, const CompileOptions& options)
      : document_(document), options_(options) {}

  std::vector<Error> run() {
    if (!proto::is_dns_label(document_.mesh)) {
      add(kErrValue, in_quotes(document_.mesh) + " is no name for a mesh", document_.mesh_place,
          "1 to 63 of a-z, 0-9 and inner hyphens");
    }
    check_proposals();
    check_limits();
    check_devices();
    check_rules();
    check_names();
    return std::move(errors_);
  }

 private:
  void add(ErrorCode code, std::string message, Place place, std::string cure = {}) {
    errors_.push_back({code, std::move(message), where(document_, place), std::move(cure)});
  }
  void not_supported(std::string_view what, Place place, std::string cure) {
    add(kErrNotSupported, std::string(what) + " is not supported yet", place, std::move(cure));
  }
  void unknown_device(std::string_view name, Place place) {
    std::vector<std::string_view> known;
    known.reserve(devices_.size());
    for (const auto& [device, spec] : devices_) known.push_back(device);
    std::sort(known.begin(), known.end());
    const std::string_view near = nearest(name, known);
    add(kErrUnknownDevice, in_quotes(name) + " is no device of this mesh", place,
        near.empty() ? "add it to devices, or correct the name"
                     : "did you mean " + in_quotes(near) + "?");
  }

  void check_proposals() {
    const auto& proposals = document_.proposals;
    if (proposals.empty() || proposals.size() > proto::kProposalsMax) {
      add(kErrProposals, "a mesh has 1 to 16 proposals", document_.proposals_place);
    }
    std::set<crypto::DhGroup> groups;
    for (std::size_t i = 0; i < proposals.size(); ++i) {
      const ProposalSpec& each = proposals[i];
      groups.insert(each.policy.group);
      for (std::size_t earlier = 0; earlier < i; ++earlier) {
        if (proposals[earlier].policy == each.policy) {
          add(kErrProposals,
              in_quotes(each.text) + " says the same as the proposal at " +
                  where(document_, proposals[earlier].place),
              each.place, "leave one of them out");
        }
      }
      if (each.policy.mode == proto::Mode::kAggfragTunnel ||
          (each.policy.mode != proto::Mode::kTunnel && !options_.features.transport)) {
        not_supported("the mode of " + in_quotes(each.text), each.place,
                      "use tunnel mode: leave out the last part");
      }
      if (document_.profile == Profile::kFips) check_fips(each);
    }
    if (groups.size() > proto::kKesMax) {
      add(kErrProposals, "the proposals name more than 8 Diffie-Hellman groups",
          document_.proposals_place, "a DIM carries one public value a group, at most 8");
    }
    if (document_.ppk_mandatory && !options_.features.ppk) {
      not_supported("ppk", document_.ppk_place, "leave ppk out");
    }
  }

  // "A fips profile: P-256/P-384, AES-GCM, HMAC-SHA2" (protocol section 8).
  void check_fips(const ProposalSpec& proposal) {
    const auto& policy = proposal.policy;
    const bool group_fits =
        policy.group == crypto::DhGroup::kEcp256 || policy.group == crypto::DhGroup::kEcp384;
    if (group_fits && policy.suite.encr == crypto::EncrId::kAesGcm16) return;
    add(kErrProposals, in_quotes(proposal.text) + " is outside the fips profile", proposal.place,
        "the profile has AES-GCM with ecp256 or ecp384, such as aes256gcm16-ecp256-sha256");
  }

  void check_limits() {
    const auto limit = [&](bool holds, std::string message, Place place, std::string cure = {}) {
      if (!holds) add(kErrLimits, std::move(message), place, std::move(cure));
    };
    const RekeySpec& rekey = document_.rekey;
    limit(rekey.every >= std::chrono::seconds(1), "rekey.every is under 1s", document_.rekey_place);
    limit(rekey.jitter_permille <= 500, "rekey.jitter is over 50%", document_.rekey_place);
    limit(rekey.packets == 0 || rekey.packets >= 1000, "rekey.packets is under 1000",
          document_.rekey_place, "a pair that rekeys all the time carries nothing else");
    limit(document_.lifetime >= 2 * rekey.every, "lifetime is under twice rekey.every",
          document_.lifetime_place.line != 0 ? document_.lifetime_place : document_.rekey_place,
          "SAs must outlive a rekey that has to wait for the controller");
    limit(document_.lifetime <= std::chrono::hours(24 * 365), "lifetime is over a year",
          document_.lifetime_place);
    limit(document_.lanes >= 1 && document_.lanes <= proto::kLanesMax, "lanes is not 1 to 64", {});
    limit(document_.replay_window >= 64 && document_.replay_window <= 65536,
          "replay_window is not 64 to 65536 packets", {});
    limit(document_.drain >= milliseconds(1) && document_.drain <= std::chrono::minutes(10),
          "drain is not 1ms to 10m", {});
    limit(document_.forget_cap >= std::chrono::seconds(1) &&
              document_.forget_cap <= document_.lifetime,
          "forget_cap is not 1s to lifetime", {});
  }

  void check_devices() {
    std::unordered_map<IpPrefix, std::vector<std::pair<const DeviceSpec*, const PrefixSpec*>>>
        owners;
    const auto visit = [&](const DeviceSpec& spec) {
      if (auto error = device_error(document_, spec, options_.mesh_network)) {
        errors_.push_back(std::move(*error));
        return;
      }
      for (const PrefixSpec& prefix : spec.prefixes) {
        auto& claims = owners[prefix.net];
        for (const auto& [other, claim] : claims) {
          if (claim->priority == prefix.priority) {
            errors_.push_back(overlap_error(document_, spec, prefix, *other));
          }
        }
        claims.emplace_back(&spec, &prefix);
      }
    };
    for (const DeviceSpec& spec : document_.devices) {
      const auto [first, fresh] = devices_.emplace(spec.name, &spec);
      if (!fresh) {
        add(kErrDuplicate,
            "the device " + in_quotes(spec.name) + " stands already at " +
                where(document_, first->second->place),
            spec.place, "a name stands once; put everything about a device there");
        continue;
      }
      visit(spec);
    }
    for (const DeviceSpec& spec : options_.enrolled) {
      if (devices_.emplace(spec.name, &spec).second) visit(spec);
    }
  }

  void check_rules() {
    for (const RuleSpec& rule : document_.rules) {
      if (rule.transport) {
        add(kErrValue, "transport mode is no mode of a rule", rule.mode_place,
            "it is part of a proposal: end one with -transport");
      }
      if (rule.mode == PairMode::kOnDemand && !options_.features.on_demand) {
        not_supported("mode: on-demand", rule.mode_place, "leave mode out: pairs are always kept");
      }
      if (!rule.via.empty()) {
        if (!options_.features.via) {
          not_supported("via", rule.via_place, "leave via out: pairs talk directly");
        } else if (!devices_.contains(rule.via)) {
          unknown_device(rule.via, rule.via_place);
        }
      }
      if (rule.action == Action::kDeny &&
          (rule.mode != PairMode::kAlways || !rule.via.empty() || rule.derive.has_value())) {
        add(kErrValue, "a rule that denies has no mode, via or derive", rule.place,
            "leave them out, or allow");
      }
    }
  }

  void check_names() {
    for (const TestSpec& test : document_.tests) {
      if (!devices_.contains(test.from)) unknown_device(test.from, test.from_place);
      if (!devices_.contains(test.to)) unknown_device(test.to, test.to_place);
      if (test.from == test.to) {
        add(kErrValue, "a test asks about " + in_quotes(test.from) + " and itself", test.place,
            "name two devices");
      }
    }
    for (const NameSpec& each : document_.rekeyed) {
      if (!devices_.contains(each.name)) unknown_device(each.name, each.place);
    }
  }

  const Document& document_;
  const CompileOptions& options_;
  std::unordered_map<std::string_view, const DeviceSpec*> devices_;
  std::vector<Error> errors_;
};

}  // namespace

std::vector<Error> check(const Document& document, const CompileOptions& options) {
  return Checker(document, options).run();
}

std::optional<Error> device_error(const Document& document, const DeviceSpec& spec,
                                  const std::optional<IpPrefix>& mesh_network) {
  const auto refuse = [&](ErrorCode code, std::string message, Place place, std::string cure) {
    return Error{code, std::move(message), where(document, place), std::move(cure)};
  };
  if (!proto::is_dns_label(spec.name)) {
    return refuse(kErrValue, in_quotes(spec.name) + " is no name for a device", spec.place,
                  "1 to 63 of a-z, 0-9 and inner hyphens");
  }
  for (std::size_t i = 0; i < spec.labels.size(); ++i) {
    const Label& label = spec.labels[i];
    if (!is_label_word(label.key) || !is_label_word(label.value) || label.key == "name") {
      return refuse(
          kErrValue,
          in_quotes(label.key + ": " + label.value) + " is no label for " + in_quotes(spec.name),
          spec.place,
          "keys and values have 1 to 63 letters, digits, '.', '_', '-' or '/', and the "
          "key name is taken by the device's own name");
    }
    if (i != 0 && spec.labels[i - 1].key >= label.key) {
      return refuse(
          kErrDuplicate,
          "the label " + in_quotes(label.key) + " of " + in_quotes(spec.name) + " stands twice",
          spec.place, "a key stands once");
    }
  }
  for (std::size_t i = 0; i < spec.prefixes.size(); ++i) {
    const PrefixSpec& prefix = spec.prefixes[i];
    for (std::size_t earlier = 0; earlier < i; ++earlier) {
      if (spec.prefixes[earlier].net == prefix.net) {
        return refuse(kErrOverlap,
                      to_string(prefix.net) + " stands twice at " + in_quotes(spec.name) +
                          ", first at " + at_place(document, spec.prefixes[earlier].place),
                      prefix.place, "leave one of them out");
      }
    }
    // Every mesh address is its device's own and checked against certificates; a default route
    // contains them and loses to them, being the shortest prefix there is.
    if (mesh_network && prefix.net.length != 0 && prefix.net.overlaps(*mesh_network)) {
      return refuse(kErrOverlap,
                    to_string(prefix.net) + " overlaps " + to_string(*mesh_network) +
                        ", which holds the mesh addresses",
                    prefix.place, "take another network; mesh addresses need no prefix");
    }
  }
  return std::nullopt;
}

Error overlap_error(const Document& document, const DeviceSpec& device, const PrefixSpec& prefix,
                    const DeviceSpec& other) {
  const auto same = std::find_if(other.prefixes.begin(), other.prefixes.end(),
                                 [&](const PrefixSpec& each) { return each.net == prefix.net; });
  const Place place = same == other.prefixes.end() ? other.place : same->place;
  return Error{kErrOverlap,
               to_string(prefix.net) + " belongs to " + in_quotes(device.name) + " and, " +
                   at_place(document, place) + ", to " + in_quotes(other.name) +
                   ", both with priority " + std::to_string(prefix.priority),
               where(document, prefix.place),
               "give them distinct priorities ({net: " + to_string(prefix.net) +
                   ", priority: 10}), the lower one wins; or remove one"};
}

}  // namespace cygnet::controller::policy
