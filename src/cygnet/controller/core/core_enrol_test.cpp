// SPDX-License-Identifier: Apache-2.0
// Enrolment, renewal, the external CA.
#include <gtest/gtest.h>

#include "cygnet/controller/core/core_test_support.h"

namespace cygnet::controller {
namespace {

using test::CoreWorld;
using test::Device;
using test::kFullMesh;
namespace pb = test::pb;

Device named(const std::string& name) {
  Device device;
  device.name = name;
  return device;
}

void expect_refused(CoreWorld& world, const pb::EnrolReply& reply, const std::string& code) {
  EXPECT_EQ(reply.outcome(), pb::EnrolReply::REFUSED);
  EXPECT_EQ(reply.refusal().code(), code) << reply.refusal().message();
  EXPECT_FALSE(reply.refusal().cure().empty()) << "every refusal names its cure";
  EXPECT_GE(world.count("enrol-refused." + code), 1U);
  EXPECT_TRUE(reply.certificate_der().empty());
  EXPECT_TRUE(reply.trust_der().empty()) << "whoever is refused learns nothing about the mesh";
}

TEST(CoreEnrol, ATokenGivesACertificateThatNamesTheDevice) {
  CoreWorld world;
  Device a = named("a");
  const auto reply = world.enrol(a, world.token("a"));
  ASSERT_EQ(reply.outcome(), pb::EnrolReply::ISSUED);
  EXPECT_EQ(reply.mesh_name(), "corp");
  ASSERT_EQ(reply.trust_der_size(), 1);
  EXPECT_EQ(a.certificate->dns_san(), "a.corp");
  EXPECT_EQ(a.certificate->uri_san(),
            proto::identity_uri(world.mesh_id(), proto::DeviceName("a.corp")));
  EXPECT_EQ(a.certificate->spki(), a.key.spki());
  EXPECT_TRUE(crypto::verify_chain(*a.certificate, {}, {world.ca.certificate}, world.now.wall));
  EXPECT_EQ(a.certificate->not_after() - world.now.wall, std::chrono::hours(24 * 30));
}

TEST(CoreEnrol, NobodyHearsOfACertificateThatIsNotDurable) {
  CoreWorld world;
  Device a = named("a");
  const RequestId id = world.ask_enrol(a, world.token("a"));
  EXPECT_FALSE(world.enrol_replies.contains(id));
  world.commit_one(Error{store::kErrDiskFull, "no space left", {}, "free some"});
  ASSERT_TRUE(world.enrol_replies.contains(id));
  EXPECT_EQ(world.enrol_replies[id].refusal().code(), "disk-full");
  EXPECT_FALSE(world.core->device("a"));
}

TEST(CoreEnrol, ATokenIsGoodOnce) {
  CoreWorld world;
  const std::string token = world.token(std::nullopt);
  Device a = named("a");
  Device b = named("b");
  EXPECT_EQ(world.enrol(a, token).outcome(), pb::EnrolReply::ISSUED);
  expect_refused(world, world.enrol(b, token), "token-used");
}

TEST(CoreEnrol, OfTwoDevicesThatRaceForOneTokenOneGetsIt) {
  CoreWorld world;
  const std::string token = world.token(std::nullopt);
  Device a = named("a");
  Device b = named("b");
  const RequestId first = world.ask_enrol(a, token);
  const RequestId second = world.ask_enrol(b, token);
  world.commit_all();
  EXPECT_EQ(world.enrol_replies[first].outcome(), pb::EnrolReply::ISSUED);
  EXPECT_EQ(world.enrol_replies[second].refusal().code(), "token-used");
  EXPECT_FALSE(world.core->device("b"));
}

TEST(CoreEnrol, ForgedExpiredAndForeignTokensAreRefused) {
  CoreWorld world;
  Device a = named("a");
  const std::string good = world.token("a");
  expect_refused(world, world.enrol(a, std::string(40, '0')), "token-unknown");
  expect_refused(world, world.enrol(a, "no hex at all"), "token-unknown");
  expect_refused(world, world.enrol(a, ""), "token-unknown");
  expect_refused(world, world.enrol(a, good, "other"), "token-bound");
  world.pass(std::chrono::hours(1));
  expect_refused(world, world.enrol(a, good), "token-expired");
}

TEST(CoreEnrol, NamesAndRequestsThatAreNoneAreRefused) {
  CoreWorld world;
  Device a = named("a");
  const std::string token = world.token(std::nullopt, {}, 100);
  pb::EnrolRequest request;
  request.set_token(token);
  request.set_version_min(1);
  request.set_version_max(1);
  const auto ask = [&](const pb::EnrolRequest& message) {
    const RequestId id = world.request();
    world.core->enrol(id, test::octets_of(message), world.now);
    world.collect();
    world.commit_all();
    return world.enrol_replies[id];
  };
  for (const char* name : {"", "A", "a.b", "-a", "a-", "a b", "../x"}) {
    request.set_device_name(name);
    expect_refused(world, ask(request), "device-name");
  }
  request.set_device_name("a");
  expect_refused(world, ask(request), "csr");
  request.set_csr_der("junk");
  expect_refused(world, ask(request), "csr");
  request.set_csr_der(std::string(as_text(*a.key.make_csr("b.corp", "cygnet://join/b"))));
  expect_refused(world, ask(request), "device-name");
  request.set_version_min(2);
  request.set_version_max(9);
  expect_refused(world, ask(request), "version");
  const RequestId id = world.request();
  world.core->enrol(id, Bytes{0xff, 0xff, 0xff}, world.now);
  world.collect();
  expect_refused(world, world.enrol_replies[id], "enrol-request");
}

TEST(CoreEnrol, ALostAnswerIsGivenAgainForTheSameKeyOnly) {
  CoreWorld world;
  Device a = named("a");
  const std::string token = world.token("a");
  ASSERT_EQ(world.enrol(a, token).outcome(), pb::EnrolReply::ISSUED);
  EXPECT_EQ(world.enrol(a, token).outcome(), pb::EnrolReply::ISSUED);
  Device thief = named("a");
  expect_refused(world, world.enrol(thief, world.token("a")), "name-taken");
  expect_refused(world, world.enrol(thief, token), "name-taken");
}

TEST(CoreEnrol, TwoDevicesCannotJoinUnderOneNameAtOnce) {
  CoreWorld world;
  Device first = named("a");
  Device second = named("a");
  const std::string token = world.token(std::nullopt, {}, 2);
  const RequestId one = world.ask_enrol(first, token);
  const RequestId two = world.ask_enrol(second, token);
  world.commit_all();
  EXPECT_EQ(world.enrol_replies[one].outcome(), pb::EnrolReply::ISSUED);
  EXPECT_EQ(world.enrol_replies[two].refusal().code(), "name-taken");
}

TEST(CoreEnrol, ARevokedNameOrKeyDoesNotComeBack) {
  CoreWorld world;
  Device& a = world.add("a");
  ASSERT_TRUE(world.revoke("a"));
  expect_refused(world, world.enrol(a, world.token("a")), "revoked");
  Device renamed = named("b");
  renamed.key = a.key;
  expect_refused(world, world.enrol(renamed, world.token("b")), "revoked");
}

TEST(CoreEnrol, LabelsOfATokenMakeRulesApplyAtOnce) {
  CoreWorld world;
  Device& hub = world.add("hub", {{"role", "hub"}});
  ASSERT_TRUE(world.apply("rules:\n  - {from: role=branch, to: role=hub}\n"));
  world.attach(hub);
  Device& branch = world.add("branch", {{"role", "branch"}});
  Device& other = world.add("other", {{"role", "other"}});
  world.pull(hub);
  EXPECT_TRUE(hub.about("branch.corp"));
  EXPECT_FALSE(hub.about("other.corp"));
  world.attach(branch);
  world.attach(other);
  EXPECT_TRUE(branch.about("hub.corp"));
  EXPECT_TRUE(other.changes().empty());
}

TEST(CoreEnrol, JoinsAreLimitedTogether) {
  Limits limits;
  limits.joins_per_minute = 2;
  CoreWorld world(limits);
  Device a = named("a");
  for (int i = 0; i < 2; ++i) (void)world.enrol(a, "00");
  expect_refused(world, world.enrol(a, "00"), "rate-limit");
}

TEST(CoreRenew, TheSameKeyGetsANewCertificateAndPeersHearTheStoredDimWithIt) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  ASSERT_TRUE(world.apply(kFullMesh));
  world.attach(a);
  ASSERT_TRUE(world.publish(a, 1, 1).accepted());
  world.pass(std::chrono::hours(24 * 16));
  const ServerTime old_end = a.certificate->not_after();
  pb::FromDevice message;
  message.mutable_renew_certificate()->set_csr_der(
      std::string(as_text(*a.key.make_csr("a.corp", "cygnet://x/a"))));
  world.say(a, message);
  world.commit_all();
  world.pull(a);
  ASSERT_TRUE(a.heard.back().has_certificate_renewed());
  const pb::CertificateRenewed renewed = a.heard.back().certificate_renewed();
  ASSERT_FALSE(renewed.has_refusal()) << renewed.refusal().message();
  const auto certificate = *crypto::Certificate::from_der(as_bytes(renewed.certificate_der()));
  EXPECT_GT(certificate.not_after(), old_end);
  EXPECT_EQ(certificate.spki(), a.key.spki());
  a.certificate = certificate;
  world.attach(b);
  EXPECT_EQ(b.about("a.corp")->dim().certificate_der(), renewed.certificate_der());
  // And after a restart too.
  world.restart();
  world.attach(b);
  EXPECT_EQ(b.about("a.corp")->dim().certificate_der(), renewed.certificate_der());
}

TEST(CoreRenew, AnotherKeyOrNameIsRefused) {
  CoreWorld world;
  Device& a = world.add("a");
  world.attach(a);
  const auto ask = [&](const Bytes& csr) {
    pb::FromDevice message;
    message.mutable_renew_certificate()->set_csr_der(std::string(as_text(csr)));
    world.say(a, message);
    world.commit_all();
    world.pull(a);
    return a.heard.back().certificate_renewed().refusal().code();
  };
  const auto other = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  EXPECT_EQ(ask(*other.make_csr("a.corp", "cygnet://x/a")), "identity-mismatch");
  EXPECT_EQ(ask(*a.key.make_csr("b.corp", "cygnet://x/b")), "identity-mismatch");
  EXPECT_EQ(ask(Bytes{1, 2, 3}), "csr");
}

TEST(CoreRenew, AnExpiredDeviceMayOnlyRenewAndThenComesBack) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  ASSERT_TRUE(world.apply(kFullMesh));
  world.attach(b);
  ASSERT_TRUE(world.publish(b, 1, 1).accepted());
  world.pass(std::chrono::hours(24 * 31));
  world.attach(a);
  EXPECT_EQ(a.goaway(), "");
  ASSERT_FALSE(a.heard.empty());
  EXPECT_TRUE(a.heard.front().has_welcome());
  EXPECT_TRUE(a.changes().empty()) << "it hears no peers before it has renewed";
  EXPECT_EQ(world.publish(a, 1, 1).refusal().code(), "certificate-expired");
  pb::FromDevice message;
  message.mutable_renew_certificate()->set_csr_der(
      std::string(as_text(*a.key.make_csr("a.corp", "cygnet://x/a"))));
  world.say(a, message);
  world.commit_all();
  world.pull(a);
  ASSERT_TRUE(a.heard.back().has_certificate_renewed());
  a.certificate = *crypto::Certificate::from_der(
      as_bytes(a.heard.back().certificate_renewed().certificate_der()));
  a.heard.clear();
  world.attach(a);
  EXPECT_TRUE(a.about("b.corp"));
  EXPECT_TRUE(world.publish(a, 1, 1).accepted());
}

TEST(CoreRenew, BeyondTheGraceADeviceIsToldWhy) {
  CoreWorld world;
  Device& a = world.add("a");
  world.pass(std::chrono::hours(24 * 61));
  world.attach(a);
  EXPECT_TRUE(a.goaway().starts_with("certificate-expired: ")) << a.goaway();
  EXPECT_TRUE(world.closed.contains(*a.session));
  EXPECT_EQ(world.count("session-refused.certificate-expired"), 1U);
}

TEST(CoreExternalCa, RequestsWaitForTheirCertificates) {
  CoreWorld world({}, CaMode::kExternal);
  Device a = named("a");
  const std::string token = world.token("a");
  auto reply = world.enrol(a, token);
  EXPECT_EQ(reply.outcome(), pb::EnrolReply::QUEUED);
  EXPECT_GT(reply.retry_after_ms(), 0U);
  ASSERT_EQ(world.core->csrs().size(), 1U);
  EXPECT_FALSE(world.core->device("a"));

  // Asked again with the same token and request it waits on; the ECDSA signature in a request made
  // anew differs, so the octets are kept by the device.
  const Bytes csr = world.core->csrs().front().csr;
  const auto ask = [&] {
    pb::EnrolRequest request;
    request.set_token(token);
    request.set_device_name("a");
    request.set_csr_der(std::string(as_text(csr)));
    request.set_version_min(1);
    request.set_version_max(1);
    const RequestId id = world.request();
    world.core->enrol(id, test::octets_of(request), world.now);
    world.collect();
    world.commit_all();
    return world.enrol_replies[id];
  };
  EXPECT_EQ(ask().outcome(), pb::EnrolReply::QUEUED);

  crypto::CertificateSpec spec;
  spec.spki = a.key.spki();
  spec.common_name = "a.corp";
  spec.dns_sans = {"a.corp"};
  spec.uri_sans = {proto::identity_uri(world.mesh_id(), proto::DeviceName("a.corp"))};
  spec.not_before = world.now.wall - std::chrono::hours(1);
  spec.not_after = world.now.wall + std::chrono::hours(24);
  spec.client_auth = true;
  const auto import = [&](const crypto::Certificate& certificate) {
    const RequestId id = world.request();
    world.core->import_certificate(id, "a", certificate.der(), "tester", world.now);
    return world.finish(id);
  };
  // Not by another CA, not for another key, not under another name.
  const auto other_ca = test::Ca::make(world.now.wall);
  EXPECT_EQ(import(*crypto::issue(spec, other_ca.key, other_ca.certificate)).error().code,
            crypto::kErrCertificateChain);
  auto wrong = spec;
  wrong.spki = other_ca.key.spki();
  EXPECT_EQ(import(*crypto::issue(wrong, world.ca.key, world.ca.certificate)).error().code,
            kErrIdentity);
  wrong = spec;
  wrong.dns_sans = {"b.corp"};
  wrong.uri_sans = {proto::identity_uri(world.mesh_id(), proto::DeviceName("b.corp"))};
  EXPECT_EQ(import(*crypto::issue(wrong, world.ca.key, world.ca.certificate)).error().code,
            kErrIdentity);

  const auto certificate = *crypto::issue(spec, world.ca.key, world.ca.certificate);
  ASSERT_TRUE(import(certificate));
  EXPECT_TRUE(world.core->csrs().empty());
  reply = ask();
  EXPECT_EQ(reply.outcome(), pb::EnrolReply::ISSUED);
  EXPECT_EQ(reply.certificate_der(), std::string(as_text(certificate.der())));
  world.restart();
  EXPECT_TRUE(world.core->device("a"));
}

}  // namespace
}  // namespace cygnet::controller
