// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/dim/dim_check.h"

#include <array>

#include "cygnet/crypto/dh.h"
#include "cygnet/proto/dim/dim_test_support.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::proto {
namespace {

using crypto::Certificate;
using crypto::IdentityKey;
using crypto::KeyType;

constexpr ServerTime kNow{std::chrono::hours(24 * 365)};

IdentityKey make_key() { return IdentityKey::generate(KeyType::kEcdsaP256).value(); }

struct Ca {
  IdentityKey key = make_key();
  Certificate certificate = self_signed(key);

  static Certificate self_signed(const IdentityKey& key) {
    crypto::CertificateSpec spec;
    spec.spki = key.spki();
    spec.common_name = "test CA";
    spec.not_before = kNow - std::chrono::hours(1000);
    spec.not_after = kNow + std::chrono::hours(1000);
    spec.is_ca = true;
    return crypto::issue(spec, key, std::nullopt).value();
  }
  [[nodiscard]] Certificate leaf(const IdentityKey& device_key, const DeviceName& device,
                                 const crypto::MeshId& mesh,
                                 ServerTime not_after = kNow + std::chrono::hours(10)) const {
    crypto::CertificateSpec spec;
    spec.spki = device_key.spki();
    spec.common_name = device.value();
    spec.dns_sans = {device.value()};
    spec.uri_sans = {identity_uri(mesh, device)};
    spec.not_before = kNow - std::chrono::hours(10);
    spec.not_after = not_after;
    spec.client_auth = true;
    return crypto::issue(spec, key, certificate).value();
  }
};

// A device with a certificate, and a receiver that knows of it what each test says.
class DimChecks : public testing::Test {
 protected:
  DimChecks() {
    mesh_.fill(0x42);
    dim_ = test::small_dim();
    dim_.counter = RekeyCounter(3, 10);
    dim_.kes.front().value =
        crypto::DhPrivate::generate(crypto::DhGroup::kX25519).value().public_value();
    context_.mesh = mesh_;
    context_.now = kNow;
    context_.trust = {ca_.certificate};
    context_.last_accepted = [this](const DeviceName&) { return last_; };
    context_.pad_allows = [this](const DeviceName&) { return allowed_; };
    context_.is_revoked = [this](const Certificate&) { return revoked_; };
    context_.pin = [this](const DeviceName&, const crypto::Sha256&) { return pin_; };
    context_.nonce_holder = [this](const DeviceName&, ByteView) { return nonce_holder_; };
    leaf_.emplace(ca_.leaf(key_, dim_.device, mesh_));
  }

  Bytes sign(Dim& dim) { return sign_dim(dim, mesh_, key_).value(); }
  DimCheckResult check(const Bytes& octets) { return check_dim(octets, leaf_->der(), context_); }
  DimCheckResult check() { return check(sign(dim_)); }

  // The check failed with this code, all before it passed, none after it ran.
  static void expect_refusal(const DimCheckResult& result, DimCheck at, ErrorCode code) {
    EXPECT_EQ(result.of(at).outcome, CheckOutcome::kFailed) << to_string(at);
    ASSERT_TRUE(result.error.has_value());
    EXPECT_EQ(result.error->code, code) << result.error->to_string();
    for (const CheckResult& entry : result.checks) {
      if (entry.check < at) {
        EXPECT_EQ(entry.outcome, CheckOutcome::kPassed) << to_string(entry.check);
      }
      if (entry.check > at) {
        EXPECT_EQ(entry.outcome, CheckOutcome::kNotRun) << to_string(entry.check);
      }
    }
    EXPECT_FALSE(result.treat_as_initial_contact);
    EXPECT_FALSE(result.pin_key);
  }
  static void expect_refused(const DimCheckResult& result, DimCheck at, ErrorCode code) {
    EXPECT_EQ(result.verdict, DimVerdict::kRefused);
    EXPECT_FALSE(result.dim != nullptr);
    expect_refusal(result, at, code);
  }

  crypto::MeshId mesh_{};
  Ca ca_;
  IdentityKey key_ = make_key();
  std::optional<Certificate> leaf_;
  Dim dim_;
  DimCheckContext context_;
  std::optional<KnownDim> last_;
  bool allowed_ = true;
  bool revoked_ = false;
  std::optional<KeyPin> pin_;
  std::optional<std::string> nonce_holder_;
};

TEST_F(DimChecks, AGoodDimIsAcceptedWithEverythingToKeep) {
  const Bytes octets = sign(dim_);
  const DimCheckResult result = check(octets);
  EXPECT_EQ(result.verdict, DimVerdict::kAccepted);
  EXPECT_FALSE(result.error.has_value());
  ASSERT_TRUE(result.dim != nullptr);
  EXPECT_TRUE(result.dim->dim == dim_);
  EXPECT_EQ(result.dim->octets, octets);
  EXPECT_EQ(result.dim->digest, dim_digest(octets));
  EXPECT_EQ(result.dim->certificate.der(), leaf_->der());
  EXPECT_TRUE(result.pin_key) << "first sight";
  for (const CheckResult& entry : result.checks) {
    EXPECT_EQ(entry.outcome, entry.check == DimCheck::kNegotiation ? CheckOutcome::kNotRun
                                                                   : CheckOutcome::kPassed);
  }
}

TEST_F(DimChecks, AMalformedDimEndsAtItsForm) {
  Bytes octets = sign(dim_);
  octets.pop_back();
  expect_refused(check(octets), DimCheck::kForm, kErrDimForm);
}

TEST_F(DimChecks, ALowerCounterIsStale) {
  last_ = KnownDim{RekeyCounter(3, 11), {}};
  DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kStale);
  expect_refusal(result, DimCheck::kCounter, kErrStaleDim);
  last_ = KnownDim{RekeyCounter(4, 1), {}};
  EXPECT_EQ(check().verdict, DimVerdict::kStale);
}

TEST_F(DimChecks, ALowerBootCountIsStaleEvenWithInitialContact) {
  last_ = KnownDim{RekeyCounter(4, 1), {}};
  dim_.initial_contact = true;
  EXPECT_EQ(check().verdict, DimVerdict::kStale);
}

TEST_F(DimChecks, TheSameDimIsNoError) {
  const Bytes octets = sign(dim_);
  last_ = KnownDim{dim_.counter, dim_digest(octets)};
  pin_ = KeyPin{leaf_->spki_hash()};
  const DimCheckResult result = check(octets);
  EXPECT_EQ(result.verdict, DimVerdict::kSame);
  ASSERT_TRUE(result.dim != nullptr);
  EXPECT_FALSE(result.error.has_value());
  EXPECT_FALSE(result.pin_key);
}

TEST_F(DimChecks, TheSameDimUnderAnotherSignatureIsTheSame) {
  const Bytes octets = sign(dim_);
  last_ = KnownDim{dim_.counter, dim_digest(octets)};
  EXPECT_EQ(check(sign(dim_)).verdict, DimVerdict::kSame);  // ECDSA signs anew each time
}

TEST_F(DimChecks, TheSameDimIsNeverAnInitialContact) {
  dim_.initial_contact = true;
  const Bytes octets = sign(dim_);
  last_ = KnownDim{dim_.counter, dim_digest(octets)};
  const DimCheckResult result = check(octets);
  EXPECT_EQ(result.verdict, DimVerdict::kSame);
  EXPECT_FALSE(result.treat_as_initial_contact);
}

TEST_F(DimChecks, TheSameDimIsStillRefusedWhenPolicyOrRevocationSaySo) {
  const Bytes octets = sign(dim_);
  last_ = KnownDim{dim_.counter, dim_digest(octets)};
  pin_ = KeyPin{leaf_->spki_hash()};
  allowed_ = false;
  EXPECT_EQ(check(octets).error->code, kErrPad);
  allowed_ = true;
  revoked_ = true;
  EXPECT_EQ(check(octets).error->code, kErrRevoked);
}

TEST_F(DimChecks, TheSameDimUnderAKeyThatIsNotPinnedProvesItselfAgain) {
  const Bytes octets = sign(dim_);
  last_ = KnownDim{dim_.counter, dim_digest(octets)};
  const IdentityKey other = make_key();
  leaf_.emplace(ca_.leaf(other, dim_.device, mesh_));
  EXPECT_EQ(check(octets).verdict, DimVerdict::kRefused);
  EXPECT_EQ(check(octets).error->code, crypto::kErrSignature);
}

TEST_F(DimChecks, TheSameDimOutlivesItsCertificate) {
  const Bytes octets = sign(dim_);
  last_ = KnownDim{dim_.counter, dim_digest(octets)};
  pin_ = KeyPin{leaf_->spki_hash()};
  context_.now = kNow + std::chrono::hours(11);
  EXPECT_EQ(check(octets).verdict, DimVerdict::kSame);
}

TEST_F(DimChecks, OtherContentUnderOneCounterIsEquivocation) {
  last_ = KnownDim{dim_.counter, dim_digest(sign(dim_))};
  dim_.lanes = 2;
  const DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kEquivocation);
  EXPECT_EQ(result.of(DimCheck::kCounter).outcome, CheckOutcome::kFailed);
  EXPECT_EQ(result.of(DimCheck::kAuth).outcome, CheckOutcome::kPassed);
  EXPECT_EQ(result.error->code, kErrEquivocation);
  EXPECT_TRUE(result.dim != nullptr) << "evidence";
  EXPECT_FALSE(result.treat_as_initial_contact);
  EXPECT_FALSE(result.pin_key);
}

TEST_F(DimChecks, ForgedEquivocationRaisesNoAlarm) {
  last_ = KnownDim{dim_.counter, dim_digest(sign(dim_))};
  dim_.lanes = 2;
  Bytes octets = sign(dim_);
  octets.back() ^= 1;
  const DimCheckResult result = check(octets);
  EXPECT_EQ(result.verdict, DimVerdict::kRefused);
  EXPECT_EQ(result.error->code, crypto::kErrSignature);
}

TEST_F(DimChecks, InitialContactNeedsAHigherBootCount) {
  last_ = KnownDim{RekeyCounter(3, 9), {}};
  dim_.initial_contact = true;
  expect_refused(check(), DimCheck::kCounter, kErrInitialContact);
  last_ = KnownDim{RekeyCounter(2, 99), {}};
  const DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kAccepted);
  EXPECT_TRUE(result.treat_as_initial_contact);
}

TEST_F(DimChecks, AHigherBootCountIsAnInitialContactWithoutTheFlag) {
  last_ = KnownDim{RekeyCounter(2, 99), {}};
  const DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kAccepted);
  EXPECT_TRUE(result.treat_as_initial_contact);
  last_ = KnownDim{RekeyCounter(3, 9), {}};
  EXPECT_FALSE(check().treat_as_initial_contact);
}

TEST_F(DimChecks, APeerNoPolicyAllowsIsRefused) {
  allowed_ = false;
  expect_refused(check(), DimCheck::kPad, kErrPad);
}

TEST_F(DimChecks, ACertificateThatIsNoneIsRefused) {
  const DimCheckResult result = check_dim(sign(dim_), Bytes{1, 2, 3}, context_);
  expect_refused(result, DimCheck::kChain, crypto::kErrCertificate);
}

TEST_F(DimChecks, ACertificateOfAnotherCaIsRefused) {
  const Ca other;
  leaf_.emplace(other.leaf(key_, dim_.device, mesh_));
  expect_refused(check(), DimCheck::kChain, crypto::kErrCertificateChain);
}

TEST_F(DimChecks, AnExpiredCertificateIsRefused) {
  leaf_.emplace(ca_.leaf(key_, dim_.device, mesh_, kNow - std::chrono::hours(1)));
  expect_refused(check(), DimCheck::kChain, crypto::kErrCertificateExpired);
}

TEST_F(DimChecks, ACertificateOfAnotherDeviceOrMeshIsRefused) {
  leaf_.emplace(ca_.leaf(key_, DeviceName("beta.mesh"), mesh_));
  expect_refused(check(), DimCheck::kChain, kErrCertificateIdentity);
  crypto::MeshId other = mesh_;
  other[0] ^= 1;
  leaf_.emplace(ca_.leaf(key_, dim_.device, other));
  expect_refused(check(), DimCheck::kChain, kErrCertificateIdentity);
}

TEST_F(DimChecks, ARevokedCertificateIsRefused) {
  revoked_ = true;
  expect_refused(check(), DimCheck::kRevocation, kErrRevoked);
}

TEST_F(DimChecks, AChangedKeyIsRefusedUnlessPolicyAllowsIt) {
  pin_ = KeyPin{crypto::Sha256{}, false};
  expect_refused(check(), DimCheck::kPin, kErrPeerKeyChanged);
  pin_->may_change = true;
  const DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kAccepted);
  EXPECT_TRUE(result.pin_key);
}

TEST_F(DimChecks, AWrongSignatureIsRefused) {
  Bytes octets = sign(dim_);
  octets.back() ^= 1;
  expect_refused(check(octets), DimCheck::kAuth, crypto::kErrSignature);
}

TEST_F(DimChecks, ASignatureForAnotherMeshIsRefused) {
  crypto::MeshId other = mesh_;
  other[0] ^= 1;
  expect_refused(check(sign_dim(dim_, other, key_).value()), DimCheck::kAuth,
                 crypto::kErrSignature);
}

TEST_F(DimChecks, ANonceHeldFromElsewhereIsRefused) {
  nonce_holder_ = "beta.mesh";
  const DimCheckResult result = check();
  expect_refused(result, DimCheck::kNonce, kErrNonceReused);
  EXPECT_NE(result.error->message.find("beta.mesh"), std::string::npos);
}

TEST_F(DimChecks, ABadPublicValueIsRefused) {
  dim_.kes.front().value = Bytes(32, 0);
  expect_refused(check(), DimCheck::kPublicValues, crypto::kErrPublicValue);
}

TEST_F(DimChecks, ABadPublicValueOfAProposalNobodyCanChooseIsNotLookedAt) {
  Proposal odd = make_proposal(2, test::policy("aes256gcm16-ecp256-sha256"));
  odd.transforms.push_back({250, 1, {}, {}});
  dim_.proposals.push_back(odd);
  dim_.kes.push_back({19, Bytes(64, 0xff)});
  EXPECT_EQ(check().verdict, DimVerdict::kAccepted);
}

TEST_F(DimChecks, NegotiationComesWithTheLocalDim) {
  Dim local = test::small_dim();
  local.device = DeviceName("beta.mesh");
  local.nonce = Bytes(kNonceLength, 0xff);
  context_.local = &local;
  const DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kAccepted);
  EXPECT_EQ(result.of(DimCheck::kNegotiation).outcome, CheckOutcome::kPassed);
  ASSERT_TRUE(result.agreement.has_value());
  EXPECT_EQ(result.agreement->local_role, Role::kInitiator);
}

TEST_F(DimChecks, NoCommonProposalIsAnOutcomeAndNoRefusal) {
  Dim local = test::small_dim();
  test::offer(local, {test::policy("chacha20poly1305-ecp256-sha256")});
  local.nonce = Bytes(kNonceLength, 0xff);
  context_.local = &local;
  const DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kAccepted);
  EXPECT_EQ(result.of(DimCheck::kNegotiation).outcome, CheckOutcome::kFailed);
  EXPECT_EQ(result.of(DimCheck::kNegotiation).error->code, kErrNoProposal);
  EXPECT_FALSE(result.agreement.has_value());
  EXPECT_FALSE(result.error.has_value());
}

TEST_F(DimChecks, WhatTheReceiverDoesNotKnowIsNotRun) {
  context_.last_accepted = nullptr;
  context_.pad_allows = nullptr;
  context_.is_revoked = nullptr;
  context_.pin = nullptr;
  context_.nonce_holder = nullptr;
  const DimCheckResult result = check();
  EXPECT_EQ(result.verdict, DimVerdict::kAccepted);
  EXPECT_FALSE(result.pin_key);
  for (const DimCheck check : {DimCheck::kCounter, DimCheck::kPad, DimCheck::kRevocation,
                               DimCheck::kPin, DimCheck::kNonce, DimCheck::kNegotiation}) {
    EXPECT_EQ(result.of(check).outcome, CheckOutcome::kNotRun) << to_string(check);
  }
}

// `cygnet debug dim check`, logs and reports say these: scripts read them.
TEST(DimCheckNames, AreThoseOfTheDocumentation) {
  const std::array<std::string_view, kDimCheckCount> checks{
      "form", "counter", "pad",   "chain",         "revocation",
      "pin",  "auth",    "nonce", "public-values", "negotiation"};
  for (std::size_t i = 0; i < checks.size(); ++i) {
    EXPECT_EQ(to_string(static_cast<DimCheck>(i)), checks[i]);
  }
  EXPECT_EQ(to_string(CheckOutcome::kPassed), "passed");
  EXPECT_EQ(to_string(CheckOutcome::kFailed), "failed");
  EXPECT_EQ(to_string(CheckOutcome::kNotRun), "not-run");
  const std::array<std::string_view, 5> verdicts{"accepted", "same", "stale", "equivocation",
                                                 "refused"};
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(to_string(static_cast<DimVerdict>(i)), verdicts[i]);
  }
}

// The planted fault: a receiver without the signature check would take a DIM that a stranger wrote.
TEST_F(DimChecks, AStrangersDimUnderAnHonestCertificateFailsAtAuthAlone) {
  const IdentityKey stranger = make_key();
  Dim forged = dim_;
  const Bytes octets = sign_dim(forged, mesh_, stranger).value();
  expect_refused(check(octets), DimCheck::kAuth, crypto::kErrSignature);
}

TEST_F(DimChecks, NoSingleChangedOctetOfASignedDimIsAccepted) {
  const Bytes whole = sign(dim_);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes octets = whole;
    octets[at] ^= 0x01;
    ASSERT_NE(check(octets).verdict, DimVerdict::kAccepted) << "octet " << at;
  }
}

}  // namespace
}  // namespace cygnet::proto
