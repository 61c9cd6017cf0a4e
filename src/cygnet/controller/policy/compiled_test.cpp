// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/compiled.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "cygnet/controller/policy/parse.h"

namespace cygnet::controller::policy {
namespace {

CompileOptions everything() {
  CompileOptions options;
  options.features = {true, true, true, true};
  return options;
}

CompiledPolicy compiled(const std::string& yaml, const CompileOptions& options = everything(),
                        std::shared_ptr<DeviceNames> names = std::make_shared<DeviceNames>()) {
  auto document = parse(yaml, "m.yaml");
  EXPECT_TRUE(document) << document.error().to_string();
  auto policy = CompiledPolicy::compile(std::move(*document), options, std::move(names));
  EXPECT_TRUE(policy) << policy.error().to_string();
  return std::move(*policy);
}

constexpr const char* kFleet = R"(mesh: corp
devices:
  - {name: store-1, labels: {role: branch, region: eu}}
  - {name: store-2, labels: {role: branch, region: us}}
  - {name: lab-1, labels: {role: branch, region: eu}}
  - {name: hub-1, labels: {role: hub}}
  - {name: hub-2, labels: {role: hub}}
rules:
  - {from: role=branch, to: role=hub}
  - {from: region=eu, to: region=eu, mode: on-demand, via: hub-1}
  - {from: role=hub, to: role=hub, derive: eager}
  - {from: "name=lab-*", to: "name=hub-2", action: deny}
  - {from: role=branch, to: role=hub, derive: eager}
)";

struct ByName {
  const CompiledPolicy& policy;
  [[nodiscard]] DeviceIndex at(const char* name) const { return *policy.names().find(name); }
  [[nodiscard]] bool allowed(const char* a, const char* b) const {
    return policy.allowed(at(a), at(b));
  }
  [[nodiscard]] std::vector<std::string> peers(const char* name) const {
    std::vector<std::string> out;
    for (const DeviceIndex peer : policy.neighbours(at(name))) {
      out.push_back(policy.names().name(peer));
    }
    std::sort(out.begin(), out.end());
    return out;
  }
};

using Names = std::vector<std::string>;

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-2
//= type=test
//# each IPsec device is authorized to communicate with other IPsec devices in the group (either all
//# devices, or a subset depending on policy).
TEST(CompiledPolicy, RulesAreSymmetricDenyWinsAndNobodyIsTheirOwnPeer) {
  const CompiledPolicy policy = compiled(kFleet);
  const ByName by{policy};
  EXPECT_EQ(by.peers("store-1"), (Names{"hub-1", "hub-2", "lab-1"}));
  EXPECT_EQ(by.peers("store-2"), (Names{"hub-1", "hub-2"}));
  EXPECT_EQ(by.peers("lab-1"), (Names{"hub-1", "store-1"}));
  EXPECT_EQ(by.peers("hub-1"), (Names{"hub-2", "lab-1", "store-1", "store-2"}));
  EXPECT_FALSE(by.allowed("lab-1", "hub-2"));
  EXPECT_FALSE(by.allowed("hub-2", "lab-1"));
  EXPECT_FALSE(by.allowed("store-1", "store-2"));  // no rule speaks about them
  EXPECT_FALSE(by.allowed("hub-1", "hub-1"));
  EXPECT_EQ(policy.pair_count(), 7U);
}

TEST(CompiledPolicy, TheFirstRuleThatAllowsAPairSaysHow) {
  const CompiledPolicy policy = compiled(kFleet);
  const ByName by{policy};
  const auto direct = policy.pair(by.at("store-1"), by.at("hub-1"));
  ASSERT_TRUE(direct);
  EXPECT_EQ(direct->rule, 0U);  // not the last one, which says eager
  EXPECT_EQ(direct->derive, Derive::kLazy);
  EXPECT_EQ(direct->mode, PairMode::kAlways);
  const auto demand = policy.pair(by.at("lab-1"), by.at("store-1"));
  ASSERT_TRUE(demand);
  EXPECT_EQ(demand->mode, PairMode::kOnDemand);
  EXPECT_EQ(demand->via, "hub-1");
  EXPECT_EQ(policy.pair(by.at("hub-1"), by.at("hub-2"))->derive, Derive::kEager);
  EXPECT_FALSE(policy.pair(by.at("lab-1"), by.at("hub-2")));
}

TEST(CompiledPolicy, AVerdictNamesTheRuleThatDecided) {
  const CompiledPolicy policy = compiled(kFleet);
  const ByName by{policy};
  const Verdict denied = policy.verdict(by.at("hub-2"), by.at("lab-1"));
  EXPECT_FALSE(denied.allowed);
  EXPECT_EQ(denied.rule, 3U);
  const Verdict silent = policy.verdict(by.at("store-1"), by.at("store-2"));
  EXPECT_FALSE(silent.allowed);
  EXPECT_FALSE(silent.rule);
  EXPECT_EQ(policy.verdict(by.at("store-1"), by.at("hub-1")).rule, 0U);
  EXPECT_FALSE(policy.verdict(by.at("hub-1"), 999).allowed);
}

TEST(CompiledPolicy, NestedPrefixesAndPrioritiesAreFine) {
  const CompiledPolicy policy = compiled(R"(mesh: corp
devices:
  - {name: a, prefixes: [10.4.17.0/24]}
  - {name: hub-1, prefixes: [{net: 10.0.0.0/8, priority: 10}, 0.0.0.0/0, "::/0"]}
  - {name: hub-2, prefixes: [{net: 10.0.0.0/8, priority: 20}]}
)");
  EXPECT_EQ(policy.device_count(), 3U);
}

TEST(CompiledPolicy, DevicesThatAreEnrolledButNotNamedCountWithTheirTokensLabels) {
  DeviceSpec unnamed;
  unnamed.name = "store-9";
  unnamed.labels = {{"role", "branch"}};
  DeviceSpec named;  // the document knows better
  named.name = "hub-1";
  named.labels = {{"role", "branch"}};
  const std::vector<DeviceSpec> enrolled{unnamed, named};
  CompileOptions options = everything();
  options.enrolled = enrolled;
  const CompiledPolicy policy = compiled(kFleet, options);
  const ByName by{policy};
  EXPECT_EQ(by.peers("store-9"), (Names{"hub-1", "hub-2"}));
  EXPECT_TRUE(by.allowed("store-1", "hub-1"));
  EXPECT_TRUE(policy.document_names("hub-1"));
  EXPECT_FALSE(policy.document_names("store-9"));
}

TEST(CompiledPolicy, ARefusedDeviceChangesNothing) {
  CompiledPolicy policy = compiled(R"(mesh: corp
devices:
  - {name: a, labels: {role: x}, prefixes: [10.0.0.0/8]}
  - {name: b, labels: {role: x}}
rules: [{from: role=x, to: role=x}]
)");
  DeviceSpec clash;
  clash.name = "b";
  clash.prefixes = {{*parse_prefix("10.0.0.0/8"), 0, {}}};
  const auto refused = policy.upsert_device(clash);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrOverlap);
  EXPECT_NE(refused.error().message.find("m.yaml:3:45"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(policy.pair_count(), 1U);
  EXPECT_EQ(policy.device(*policy.names().find("b")).labels.size(), 1U);

  DeviceSpec bad;
  bad.name = "C";
  EXPECT_FALSE(policy.upsert_device(bad));
  EXPECT_EQ(policy.device_count(), 2U);
  EXPECT_FALSE(policy.names().find("C"));

  clash.prefixes[0].priority = 5;  // the cure
  clash.labels = {{"role", "x"}};
  const auto accepted = policy.upsert_device(clash);
  ASSERT_TRUE(accepted);
  EXPECT_TRUE(accepted->empty());  // prefixes are no matter of adjacency
  policy.remove_device("a");
  EXPECT_TRUE(policy.remove_device("a").empty());
  EXPECT_TRUE(policy.remove_device("nobody").empty());
  clash.prefixes[0].priority = 0;  // free again
  EXPECT_TRUE(policy.upsert_device(clash));
}

TEST(CompiledPolicy, TheMeshNetworkIsThatOfTheMeshAddresses) {
  crypto::MeshId id{};
  const IpPrefix network = mesh_network(id);
  EXPECT_EQ(network.length, 64);
  EXPECT_EQ(network.address[0], 0xfd);
  EXPECT_EQ(network.address[6], 0);
  id[0] = 1;
  EXPECT_NE(mesh_network(id), network);
}

// ---- against a reference that knows nothing of classes and indices ----

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15U + 1) {}
  std::size_t below(std::size_t n) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::size_t>(state_ >> 11) % n;
  }

 private:
  std::uint64_t state_;
};

DeviceSpec random_device(Random& random, const std::string& name) {
  DeviceSpec device;
  device.name = name;
  for (char key = 'a'; key <= 'd'; ++key) {
    if (random.below(3) != 0) {
      device.labels.push_back(
          {std::string(1, key), std::string(1, static_cast<char>('0' + random.below(3)))});
    }
  }
  return device;
}

Selector random_selector(Random& random) {
  std::string text;
  const std::size_t terms = random.below(4);
  for (std::size_t i = 0; i < terms; ++i) {
    if (!text.empty()) text += ',';
    switch (random.below(6)) {
      case 0:
        text += "name=d" + std::to_string(random.below(12));
        break;
      case 1:
        text += "name=d" + std::to_string(random.below(3)) + "*";
        break;
      case 2:
        text += std::string(1, static_cast<char>('a' + random.below(4))) + "=*";
        break;
      default:
        text += std::string(1, static_cast<char>('a' + random.below(4))) + "=" +
                std::to_string(random.below(3));
    }
  }
  return *parse_selector(text.empty() ? "any" : text);
}

Document random_document(Random& random) {
  Document document = *parse("mesh: corp\n", "m.yaml");
  const std::size_t devices = 2 + random.below(25);
  for (std::size_t i = 0; i < devices; ++i) {
    if (random.below(5) != 0) {
      document.devices.push_back(random_device(random, "d" + std::to_string(i)));
    }
  }
  const std::size_t rules = random.below(8);
  for (std::size_t i = 0; i < rules; ++i) {
    RuleSpec rule;
    rule.from = random_selector(random);
    rule.to = random.below(3) == 0 ? rule.from : random_selector(random);
    if (random.below(4) == 0) {
      rule.action = Action::kDeny;
    } else {
      if (random.below(3) == 0) rule.mode = PairMode::kOnDemand;
      if (random.below(3) == 0) rule.derive = Derive::kEager;
      if (random.below(3) == 0 && !document.devices.empty()) {
        rule.via = document.devices[random.below(document.devices.size())].name;
      }
    }
    document.rules.push_back(std::move(rule));
  }
  if (random.below(3) == 0) document.derive = Derive::kEager;
  return document;
}

/// How a pair behaves; nullopt: not allowed.
using Behaviour = std::optional<std::tuple<PairMode, Derive, std::string>>;

Behaviour reference(const Document& document, const DeviceSpec& a, const DeviceSpec& b) {
  Behaviour behaviour;
  if (a.name == b.name) return behaviour;
  for (const RuleSpec& rule : document.rules) {
    const bool speaks =
        (rule.from.matches(a.name, a.labels) && rule.to.matches(b.name, b.labels)) ||
        (rule.from.matches(b.name, b.labels) && rule.to.matches(a.name, a.labels));
    if (!speaks) continue;
    if (rule.action == Action::kDeny) return std::nullopt;
    if (!behaviour) {
      behaviour = std::tuple(rule.mode, rule.derive.value_or(document.derive), rule.via);
    }
  }
  return behaviour;
}

using Devices = std::map<std::string, DeviceSpec>;
using Pairs = std::map<std::pair<std::string, std::string>, Behaviour>;  // both directions

Pairs reference_pairs(const Document& document, const Devices& devices) {
  Pairs pairs;
  for (const auto& [a, spec_a] : devices) {
    for (const auto& [b, spec_b] : devices) {
      auto behaviour = reference(document, spec_a, spec_b);
      if (behaviour) pairs[{a, b}] = behaviour;
    }
  }
  return pairs;
}

Pairs pairs_of(const CompiledPolicy& policy) {
  Pairs pairs;
  std::uint64_t ends = 0;
  for (const DeviceIndex a : policy.devices()) {
    const auto neighbours = policy.neighbours(a);
    EXPECT_TRUE(std::is_sorted(neighbours.begin(), neighbours.end()));
    EXPECT_EQ(neighbours.size(), policy.neighbour_count(a));
    std::set<DeviceIndex> visited;
    policy.for_each_neighbour(a, [&](DeviceIndex b) { visited.insert(b); });
    EXPECT_EQ(visited, std::set<DeviceIndex>(neighbours.begin(), neighbours.end()));
    ends += neighbours.size();
    for (const DeviceIndex b : neighbours) {
      EXPECT_TRUE(policy.allowed(a, b));
      EXPECT_TRUE(policy.verdict(a, b).allowed);
      const auto pair = policy.pair(a, b);
      if (!pair) {
        ADD_FAILURE() << "a neighbour without a pair";
        continue;
      }
      pairs[{policy.names().name(a), policy.names().name(b)}] =
          std::tuple(pair->mode, pair->derive, std::string(pair->via));
    }
  }
  EXPECT_EQ(policy.pair_count(), ends / 2);
  return pairs;
}

Devices devices_of(const Document& document) {
  Devices devices;
  for (const DeviceSpec& each : document.devices) devices.emplace(each.name, each);
  return devices;
}

std::set<std::string> names_of(const CompiledPolicy& policy, const std::vector<DeviceIndex>& list) {
  std::set<std::string> out;
  for (const DeviceIndex each : list) out.insert(policy.names().name(each));
  EXPECT_EQ(out.size(), list.size());
  return out;
}

/// What a delta of `name` must be, from two references.
void expect_delta(const CompiledPolicy& policy, const AdjacencyDelta& delta,
                  const std::string& name, const Pairs& before, const Pairs& after) {
  std::set<std::string> added;
  std::set<std::string> removed;
  std::set<std::string> changed;
  for (const auto& [pair, behaviour] : after) {
    if (pair.first != name) continue;
    const auto was = before.find(pair);
    if (was == before.end()) {
      added.insert(pair.second);
    } else if (was->second != behaviour) {
      changed.insert(pair.second);
    }
  }
  for (const auto& [pair, behaviour] : before) {
    if (pair.first == name && !after.contains(pair)) removed.insert(pair.second);
  }
  EXPECT_EQ(names_of(policy, delta.added), added) << name;
  EXPECT_EQ(names_of(policy, delta.removed), removed) << name;
  EXPECT_EQ(names_of(policy, delta.changed), changed) << name;
}

TEST(CompiledPolicy, AgreesWithPairByPairEvaluationOnRandomPolicies) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Document document = random_document(random);
    auto policy = CompiledPolicy::compile(document, everything(), std::make_shared<DeviceNames>());
    ASSERT_TRUE(policy) << policy.error().to_string();
    ASSERT_EQ(pairs_of(*policy), reference_pairs(document, devices_of(document)));
  }
}

TEST(CompiledPolicy, UpdatingByDifferenceAgreesWithCompilingAfresh) {
  std::size_t changes = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Document document = random_document(random);
    auto policy = CompiledPolicy::compile(document, everything(), std::make_shared<DeviceNames>());
    ASSERT_TRUE(policy) << policy.error().to_string();
    Devices devices = devices_of(document);
    Pairs before = reference_pairs(document, devices);
    for (int step = 0; step < 40; ++step) {
      const std::string name = "d" + std::to_string(random.below(30));
      AdjacencyDelta delta;
      if (random.below(3) == 0) {
        delta = policy->remove_device(name);
        devices.erase(name);
      } else {
        const DeviceSpec spec = random_device(random, name);
        auto upserted = policy->upsert_device(spec);
        ASSERT_TRUE(upserted) << upserted.error().to_string();
        delta = *upserted;
        devices.insert_or_assign(name, spec);
      }
      Pairs after = reference_pairs(document, devices);
      ASSERT_EQ(pairs_of(*policy), after) << "step " << step;
      expect_delta(*policy, delta, name, before, after);
      changes += delta.added.size() + delta.removed.size() + delta.changed.size();
      before = std::move(after);
    }
  }
  EXPECT_GT(changes, 1000U);  // the test did see something
}

TEST(CompiledPolicy, TheDifferenceOfTwoPoliciesIsThatOfTheirPairs) {
  std::size_t changes = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Document old_document = random_document(random);
    Document new_document = random.below(2) == 0 ? random_document(random) : old_document;
    if (random.below(2) == 0) new_document.derive = Derive::kEager;
    const auto names = std::make_shared<DeviceNames>();
    auto before = CompiledPolicy::compile(old_document, everything(), names);
    auto after = CompiledPolicy::compile(new_document, everything(), names);
    ASSERT_TRUE(before);
    ASSERT_TRUE(after) << after.error().to_string();
    const bool first = random.below(8) == 0;
    const Pairs old_pairs =
        first ? Pairs{} : reference_pairs(old_document, devices_of(old_document));
    const Pairs new_pairs = reference_pairs(new_document, devices_of(new_document));
    std::map<std::string, AdjacencyDelta> deltas;
    for_each_difference(first ? nullptr : &*before, *after, [&](const AdjacencyDelta& delta) {
      EXPECT_TRUE(deltas.emplace(names->name(delta.device), delta).second);
    });
    for (DeviceIndex device = 0; device < names->size(); ++device) {
      expect_delta(*after, deltas[names->name(device)], names->name(device), old_pairs, new_pairs);
    }
    for (const auto& [name, delta] : deltas) changes += delta.changed.size() + delta.added.size();
  }
  EXPECT_GT(changes, 1000U);
}

}  // namespace
}  // namespace cygnet::controller::policy
