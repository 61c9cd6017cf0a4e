// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/parse.h"

#include <gtest/gtest.h>

#include "cygnet/controller/policy/compiled.h"

namespace cygnet::controller::policy {
namespace {

constexpr const char* kWhole = R"(mesh: corp
profile: default
proposals: [aes256gcm16-x25519-sha256, aes128gcm16-x25519-sha256]
rekey: {every: 1h, jitter: 10%, packets: 2G}
lifetime: 24h
lanes: 4
replay_window: 2048
drain: 5s
forget_cap: 2m
derive: eager
ppk: {mandatory: true}
devices:
  - name: store-0417
    labels: {role: branch, region: eu}
    prefixes: [10.4.17.0/24, "fd00:4:17::/48"]
    endpoints: ["198.51.100.17:4500", "[2001:db8::17]:4500"]
  - {name: hub-1, labels: {role: hub}, prefixes: [{net: 10.0.0.0/8, priority: 10}]}
rules:
  - {from: role=branch, to: role=hub, derive: lazy}
  - {from: region=eu, to: region=eu, mode: on-demand, via: hub-1}
  - {from: "name=lab-*", to: any, action: deny}
tests:
  - {from: store-0417, to: hub-1, expect: allow}
rekeyed: [hub-1]
)";

TEST(PolicyParse, ReadsEveryKeyWithItsPlace) {
  const auto parsed = parse(kWhole, "mesh.yaml");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  const Document& d = *parsed;
  EXPECT_EQ(d.mesh, "corp");
  EXPECT_EQ(d.proposals.size(), 2U);
  EXPECT_EQ(d.proposals[1].place, (Place{3, 40}));
  EXPECT_EQ(d.rekey.every, std::chrono::hours(1));
  EXPECT_EQ(d.rekey.jitter_permille, 100U);
  EXPECT_EQ(d.rekey.packets, 2'000'000'000U);
  EXPECT_EQ(d.lifetime, std::chrono::hours(24));
  EXPECT_EQ(d.lanes, 4U);
  EXPECT_EQ(d.replay_window, 2048U);
  EXPECT_EQ(d.drain, std::chrono::seconds(5));
  EXPECT_EQ(d.forget_cap, std::chrono::minutes(2));
  EXPECT_EQ(d.derive, Derive::kEager);
  EXPECT_TRUE(d.ppk_mandatory);
  ASSERT_EQ(d.devices.size(), 2U);
  EXPECT_EQ(d.devices[0].labels, (std::vector<Label>{{"region", "eu"}, {"role", "branch"}}));
  ASSERT_EQ(d.devices[0].prefixes.size(), 2U);
  EXPECT_EQ(to_string(d.devices[0].prefixes[1].net), "fd00:4:17::/48");
  EXPECT_EQ(d.devices[0].endpoints.size(), 2U);
  EXPECT_EQ(d.devices[1].prefixes[0].priority, 10U);
  EXPECT_EQ(d.devices[1].place.line, 17U);
  ASSERT_EQ(d.rules.size(), 3U);
  EXPECT_EQ(d.rules[0].derive, Derive::kLazy);
  EXPECT_EQ(d.rules[1].mode, PairMode::kOnDemand);
  EXPECT_EQ(d.rules[1].via, "hub-1");
  EXPECT_EQ(d.rules[2].action, Action::kDeny);
  EXPECT_EQ(d.rules[2].place.line, 21U);
  ASSERT_EQ(d.tests.size(), 1U);
  EXPECT_EQ(d.tests[0].expect, Action::kAllow);
  EXPECT_EQ(d.rekeyed[0].name, "hub-1");
}

TEST(PolicyParse, FillsInWhatIsNotSaid) {
  const auto parsed = parse("mesh: corp\n", "mesh.yaml");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(parsed->proposals.size(), 3U);
  EXPECT_EQ(parsed->rekey.every, std::chrono::hours(1));
  EXPECT_EQ(parsed->rekey.jitter_permille, 100U);
  EXPECT_EQ(parsed->lifetime, std::chrono::hours(24));
  EXPECT_EQ(parsed->lanes, 1U);
  EXPECT_EQ(parsed->replay_window, 1024U);
  const auto fips = parse("mesh: corp\nprofile: fips\n", "mesh.yaml");
  ASSERT_TRUE(fips);
  for (const ProposalSpec& each : fips->proposals) {
    EXPECT_EQ(each.policy.group, crypto::DhGroup::kEcp256);
  }
  EXPECT_TRUE(check(*fips, {}).empty());
}

TEST(PolicyParse, EmptyValuesCountAsNotGiven) {
  const auto parsed = parse("mesh: corp\ndevices:\nrules:\nrekey:\n", "mesh.yaml");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_TRUE(parsed->devices.empty());
}

struct BadCase {
  const char* name;
  const char* yaml;
  const char* code;
  const char* where;
  const char* message;  ///< a part of message or cure
};
void PrintTo(const BadCase& c, std::ostream* out) { *out << c.name; }

class PolicyRefused : public ::testing::TestWithParam<BadCase> {};

TEST_P(PolicyRefused, NamesTheThingThePlaceAndTheCure) {
  const BadCase& c = GetParam();
  auto parsed = parse(c.yaml, "m.yaml");
  Error error{ErrorCode("none"), "nothing was refused"};
  if (!parsed) {
    error = parsed.error();
  } else {
    CompileOptions options;
    options.mesh_network = IpPrefix{Family::kIpv6, {0xfd, 1, 2, 3, 4, 5}, 64};
    auto compiled =
        CompiledPolicy::compile(std::move(*parsed), options, std::make_shared<DeviceNames>());
    if (!compiled) error = compiled.error();
  }
  EXPECT_EQ(error.code.name(), c.code) << error.to_string();
  EXPECT_EQ(error.where, c.where) << error.to_string();
  EXPECT_NE((error.message + " | " + error.cure).find(c.message), std::string::npos)
      << error.to_string();
}

const BadCase kBadCases[] = {
    {"NoYaml", "mesh: [corp\n", "policy-yaml", "m.yaml:2:1", "no YAML"},
    {"BadIndent", "mesh: corp\n  rules: []\n", "policy-yaml", "m.yaml:2:8", "no YAML"},
    {"Empty", "", "policy-yaml", "m.yaml", "empty"},
    {"List", "- mesh\n", "policy-value", "m.yaml:1:1", "a policy is a mapping"},
    {"TwoDocuments", "mesh: a\n---\nmesh: b\n", "policy-yaml", "m.yaml:3:1", "second document"},
    {"Anchor", "mesh: &x corp\n", "policy-yaml", "m.yaml:1:7", "anchors"},
    {"Alias", "mesh: corp\nrules: [*x]\n", "policy-yaml", "m.yaml:2:9", ""},
    {"Tag", "mesh: !!binary corp\n", "policy-yaml", "m.yaml:1:7", "tags"},
    {"MapAsKey", "mesh: corp\n{a: b}: c\n", "policy-yaml", "m.yaml:2:1", ""},
    {"UnknownKey", "mesh: corp\nrulez: []\n", "policy-unknown-key", "m.yaml:2:1", "\"rules\""},
    {"UnknownDeviceKey", "mesh: corp\ndevices:\n  - {name: a, lable: {}}\n", "policy-unknown-key",
     "m.yaml:3:15", "\"labels\""},
    {"UnknownKeyFarFromAll", "mesh: corp\nzzzzzzzzzz: 1\n", "policy-unknown-key", "m.yaml:2:1",
     "the keys are mesh"},
    {"KeyTwice", "mesh: corp\nlanes: 1\nlanes: 2\n", "policy-duplicate", "m.yaml:3:1", "twice"},
    {"NoMesh", "lanes: 1\n", "policy-missing-key", "m.yaml:1:1", "no mesh"},
    {"BadMesh", "mesh: Corp\n", "policy-value", "m.yaml:1:7", "name for a mesh"},
    {"NoUnit", "mesh: corp\nlifetime: 24\n", "policy-value", "m.yaml:2:11", "unit"},
    {"NoPercent", "mesh: corp\nrekey: {jitter: 10}\n", "policy-value", "m.yaml:2:17", "10%"},
    {"BadCount", "mesh: corp\nlanes: many\n", "policy-value", "m.yaml:2:8", "count"},
    {"CountTooLarge", "mesh: corp\nlanes: 70000\n", "policy-value", "m.yaml:2:8", "count"},
    {"LanesZero", "mesh: corp\nlanes: 0\n", "policy-limits", "m.yaml", "lanes"},
    {"LanesOver64", "mesh: corp\nlanes: 65\n", "policy-limits", "m.yaml", "lanes"},
    {"ListWanted", "mesh: corp\ndevices: {name: a}\n", "policy-value", "m.yaml:2:10", "list"},
    {"WordWanted", "mesh: [a]\n", "policy-value", "m.yaml:1:7", "one word"},
    {"BadProfile", "mesh: corp\nprofile: strict\n", "policy-value", "m.yaml:2:10",
     "default or fips"},
    {"BadProposal", "mesh: corp\nproposals: [aes256gcm16-x25519-md5]\n", "proposal-text",
     "m.yaml:2:13", ""},
    {"NoProposals", "mesh: corp\nproposals: []\n", "policy-proposals", "m.yaml:2:12", "1 to 16"},
    {"SameProposalTwice",
     "mesh: corp\nproposals: [aes256gcm16-x25519-sha256, aes256gcm16-x25519-sha256]\n",
     "policy-proposals", "m.yaml:2:40", "m.yaml:2:13"},
    {"OutsideFips", "mesh: corp\nprofile: fips\nproposals: [aes256gcm16-x25519-sha256]\n",
     "policy-proposals", "m.yaml:3:13", "fips"},
    {"Transport", "mesh: corp\nproposals: [aes256gcm16-x25519-sha256-transport]\n",
     "policy-not-supported", "m.yaml:2:13", "not supported yet"},
    {"TransportAsMode", "mesh: corp\nrules: [{from: any, to: any, mode: transport}]\n",
     "policy-value", "m.yaml:2:36", "proposal"},
    {"Via", "mesh: corp\ndevices: [{name: hub}]\nrules: [{from: any, to: any, via: hub}]\n",
     "policy-not-supported", "m.yaml:3:35", "not supported yet"},
    {"Ppk", "mesh: corp\nppk: {mandatory: true}\n", "policy-not-supported", "m.yaml:2:6",
     "not supported yet"},
    {"RekeyTooOften", "mesh: corp\nrekey: {every: 10ms}\n", "policy-limits", "m.yaml:2:8",
     "rekey.every"},
    {"LifetimeTooShort", "mesh: corp\nlifetime: 1h\n", "policy-limits", "m.yaml:2:11", "lifetime"},
    {"JitterTooLarge", "mesh: corp\nrekey: {jitter: 51%}\n", "policy-limits", "m.yaml:2:8",
     "jitter"},
    {"TooFewPackets", "mesh: corp\nrekey: {packets: 5}\n", "policy-limits", "m.yaml:2:8",
     "packets"},
    {"DeviceWithoutName", "mesh: corp\ndevices:\n  - labels: {a: b}\n", "policy-missing-key",
     "m.yaml:3:5", "no name"},
    {"BadDeviceName", "mesh: corp\ndevices: [{name: Store_1}]\n", "policy-value", "m.yaml:2:11",
     "Store_1"},
    {"DeviceTwice", "mesh: corp\ndevices:\n  - name: a\n  - name: a\n", "policy-duplicate",
     "m.yaml:4:5", "m.yaml:3:5"},
    {"LabelTwice", "mesh: corp\ndevices: [{name: a, labels: {x: 1, x: 2}}]\n", "policy-duplicate",
     "m.yaml:2:36", "twice"},
    {"LabelCalledName", "mesh: corp\ndevices: [{name: a, labels: {name: b}}]\n", "policy-value",
     "m.yaml:2:30", "own name"},
    {"BadLabel", "mesh: corp\ndevices: [{name: a, labels: {x: \"a b\"}}]\n", "policy-value",
     "m.yaml:2:30", "no label"},
    {"LabelsAsList", "mesh: corp\ndevices: [{name: a, labels: [x]}]\n", "policy-value",
     "m.yaml:2:29", "mapping"},
    {"HostBits", "mesh: corp\ndevices: [{name: a, prefixes: [10.0.0.1/8]}]\n", "policy-prefix",
     "m.yaml:2:32", "10.0.0.0/8"},
    {"PrefixWithoutNet", "mesh: corp\ndevices: [{name: a, prefixes: [{priority: 1}]}]\n",
     "policy-missing-key", "m.yaml:2:32", "net"},
    {"SamePrefixTwiceAtOne",
     "mesh: corp\ndevices: [{name: a, prefixes: [10.0.0.0/8, {net: 10.0.0.0/8, priority: 2}]}]\n",
     "policy-overlap", "m.yaml:2:50", "m.yaml:2:32"},
    {"SamePrefixAtTwo",
     "mesh: corp\ndevices:\n  - {name: a, prefixes: [10.0.0.0/8]}\n"
     "  - {name: b, prefixes: [10.0.0.0/8]}\n",
     "policy-overlap", "m.yaml:4:26", "m.yaml:3:26"},
    {"SamePrefixSamePriority",
     "mesh: corp\ndevices:\n  - {name: a, prefixes: [{net: 10.0.0.0/8, priority: 7}]}\n"
     "  - {name: b, prefixes: [{net: 10.0.0.0/8, priority: 7}]}\n",
     "policy-overlap", "m.yaml:4:32", "both with priority 7"},
    {"MeshAddresses", "mesh: corp\ndevices: [{name: a, prefixes: [\"fd01:203:405::/48\"]}]\n",
     "policy-overlap", "m.yaml:2:32", "mesh addresses"},
    {"MeshAddressOfSomebody", "mesh: corp\ndevices: [{name: a, prefixes: [\"fd01:203:405::1\"]}]\n",
     "policy-overlap", "m.yaml:2:32", "mesh addresses"},
    {"BadEndpoint", "mesh: corp\ndevices: [{name: a, endpoints: [\"gw:4500\"]}]\n",
     "policy-endpoint", "m.yaml:2:33", "gw:4500"},
    {"RuleWithoutTo", "mesh: corp\nrules: [{from: any}]\n", "policy-missing-key", "m.yaml:2:9",
     "no to"},
    {"BadSelector", "mesh: corp\nrules: [{from: hub, to: any}]\n", "policy-selector", "m.yaml:2:16",
     "name=hub"},
    {"BadAction", "mesh: corp\nrules: [{from: any, to: any, action: permit}]\n", "policy-value",
     "m.yaml:2:38", "allow or deny"},
    {"BadDerive", "mesh: corp\nderive: soon\n", "policy-value", "m.yaml:2:9", "lazy or eager"},
    {"DenyWithDerive", "mesh: corp\nrules: [{from: any, to: any, action: deny, derive: eager}]\n",
     "policy-value", "m.yaml:2:9", "denies"},
    {"TestWithoutExpect",
     "mesh: corp\ndevices: [{name: a}, {name: b}]\ntests: [{from: a, to: b}]\n",
     "policy-missing-key", "m.yaml:3:9", "expect"},
    {"TestOfUnknownDevice",
     "mesh: corp\ndevices: [{name: hub-1}]\ntests: [{from: hub-2, to: hub-1, expect: allow}]\n",
     "policy-unknown-device", "m.yaml:3:16", "\"hub-1\""},
    {"TestOfItself", "mesh: corp\ndevices: [{name: a}]\ntests: [{from: a, to: a, expect: allow}]\n",
     "policy-value", "m.yaml:3:9", "itself"},
    {"RekeyedUnknown", "mesh: corp\nrekeyed: [ghost]\n", "policy-unknown-device", "m.yaml:2:11",
     "ghost"},
};

INSTANTIATE_TEST_SUITE_P(BadInput, PolicyRefused, ::testing::ValuesIn(kBadCases),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(PolicyParse, TellsAllProblemsAtOnceInTheOrderOfTheText) {
  const Parsed parsed = parse_all("mesh: corp\nlifetime: 5\nrulez: []\nlanes: x\n", "m.yaml");
  ASSERT_EQ(parsed.problems.size(), 3U);
  const auto one = parse("mesh: corp\nlifetime: 5\nrulez: []\nlanes: x\n", "m.yaml");
  ASSERT_FALSE(one);
  EXPECT_NE(one.error().message.find("2 problems more"), std::string::npos);
}

TEST(PolicyParse, ManyProblemsAreCutShort) {
  std::string yaml = "mesh: corp\ndevices:\n";
  for (int i = 0; i < 1000; ++i) yaml += "  - {nome: x}\n";
  EXPECT_EQ(parse_all(yaml, "m.yaml").problems.size(), kProblemsMax);
}

TEST(PolicyParse, HostileNestingIsRefusedQuickly) {
  EXPECT_EQ(parse(std::string(100'000, '['), "m.yaml").error().code, kErrYaml);
  EXPECT_EQ(parse("a: " + std::string(100'000, '{'), "m.yaml").error().code, kErrYaml);
  EXPECT_EQ(parse(std::string("mesh: corp\0\n", 12), "m.yaml").has_value(), false);
}

TEST(PolicyParse, NoTruncationOrFlippedOctetOfADocumentBreaksIt) {
  const std::string whole = kWhole;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    static_cast<void>(parse_all(std::string_view(whole).substr(0, length), "m.yaml"));
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char octet : {'\0', '\xff', '{', ':', '\n', '*', '"'}) {
      std::string bent = whole;
      bent[at] = octet;
      for (const Error& problem : parse_all(bent, "m.yaml").problems) {
        EXPECT_FALSE(problem.where.empty());
        EXPECT_FALSE(problem.message.empty());
      }
    }
  }
}

TEST(PolicyParse, LineAndColumnCanBeTakenOutOfAnErrorAgain) {
  const auto refused = parse("mesh: corp\nlifetime: 5\n", "dir:1/m.yaml");
  ASSERT_FALSE(refused);
  EXPECT_EQ(place_in(refused.error()), (Place{2, 11}));
  for (const char* none : {"", "m.yaml", "m.yaml:3", "a:b:c", ":1", "m.yaml:3:", "m.yaml:0:1"}) {
    EXPECT_EQ(place_in({kErrYaml, "", none}), Place{}) << none;
  }
}

TEST(PolicyParse, TheSchemaIsThereForWhatLaterWorks) {
  auto parsed = parse(kWhole, "mesh.yaml");
  ASSERT_TRUE(parsed);
  CompileOptions options;
  options.features = {true, true, true, true};
  EXPECT_TRUE(check(*parsed, options).empty());
  parsed->rules[1].via = "hub-2";
  const auto problems = check(*parsed, options);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].code, kErrUnknownDevice);
  EXPECT_EQ(problems[0].where, "mesh.yaml:20:60");
}

}  // namespace
}  // namespace cygnet::controller::policy
