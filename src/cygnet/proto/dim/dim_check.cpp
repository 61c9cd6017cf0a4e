// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/dim/dim_check.h"

#include "cygnet/crypto/dh.h"
#include "cygnet/crypto/hash.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/dim/sa_payload.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/proto/ikev2/payload.h"

namespace cygnet::proto {
namespace {

std::string name_and_counter(const Dim& dim) {
  return dim.device.value() + " counter " + to_string(dim.counter);
}

Error counter_error(CounterVerdict verdict, const Dim& dim, const KnownDim& last) {
  switch (verdict) {
    case CounterVerdict::kEquivocation:
      return {kErrEquivocation,
              name_and_counter(dim) + " was seen before with other content",
              {},
              "look for a cloned or rolled-back device; roll it over to end this"};
    case CounterVerdict::kStale:
      return {kErrStaleDim,
              name_and_counter(dim) + " is older than " + to_string(last.counter),
              {},
              "nothing, if it came once; if it stays, the controller was restored from a backup: "
              "roll the device over"};
    case CounterVerdict::kInitialContact:
      return {kErrInitialContact,
              name_and_counter(dim) + " claims INITIAL_CONTACT without a higher boot count than " +
                  to_string(last.counter),
              {},
              "the device has to raise its boot count when it loses its SAs"};
    case CounterVerdict::kNewer:
    case CounterVerdict::kSame:
      break;
  }
  assertion_failed("a counter that passes has no error", __FILE__, __LINE__);
}

// Runs the checks in order; the first refusal ends it, later ones stay "not run".
class Checker {
 public:
  Checker(ByteView octets, ByteView certificate_der, const DimCheckContext& context)
      : octets_(octets), certificate_der_(certificate_der), context_(context) {
    result_.checks.reserve(kDimCheckCount);
    for (std::size_t i = 0; i < kDimCheckCount; ++i) {
      result_.checks.push_back({static_cast<DimCheck>(i), CheckOutcome::kNotRun, std::nullopt});
    }
  }

  DimCheckResult run() {
    if (!form() || !counter() || !pad() || !certificate_form()) return std::move(result_);
    const bool ended = counter_ == CounterVerdict::kSame ? same_checks() : full_checks();
    if (ended) finish();
    return std::move(result_);
  }

 private:
  [[nodiscard]] const Dim& dim() const { return form_->dim; }

  bool record(DimCheck check, Status status) {
    CheckResult& entry = result_.checks[static_cast<std::size_t>(check)];
    if (status) {
      entry.outcome = CheckOutcome::kPassed;
      return true;
    }
    entry.outcome = CheckOutcome::kFailed;
    entry.error = std::move(status).error();
    result_.error = entry.error;
    return false;
  }

  bool form() {
    form_ = context_.form;
    if (!form_) {
      Result<std::shared_ptr<const DimForm>> form = context_.proofs->form(octets_);
      if (!form) return record(DimCheck::kForm, fail(std::move(form).error()));
      form_ = std::move(*form);
    }
    return record(DimCheck::kForm, {});
  }

  // A device's earlier DIM with the same counter is either this one or proof of two devices under
  // one name; whether to cry alarm is known only after AUTH, so that one goes on.
  bool counter() {
    if (!context_.last_accepted) {
      initial_contact_ = dim().initial_contact;
      return true;
    }
    const std::optional<KnownDim> last = context_.last_accepted(dim().device);
    counter_ = judge_counter(last, dim(), form_->digest);
    // Latest wins in every queue, so the flagged DIM itself may never have reached us.
    initial_contact_ =
        dim().initial_contact || (last && dim().counter.boot_count() > last->counter.boot_count());
    if (counter_ == CounterVerdict::kNewer || counter_ == CounterVerdict::kSame) {
      return record(DimCheck::kCounter, {});
    }
    counter_error_ = counter_error(counter_, dim(), *last);
    record(DimCheck::kCounter, fail(*counter_error_));
    if (counter_ == CounterVerdict::kStale) result_.verdict = DimVerdict::kStale;
    return counter_ == CounterVerdict::kEquivocation;
  }

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.3
  //# The PAD identifies authorized peers.
  bool pad() {
    if (!context_.pad_allows) return true;
    if (context_.pad_allows(dim().device)) return record(DimCheck::kPad, {});
    return record(DimCheck::kPad,
                  fail(kErrPad, "no policy allows " + dim().device.value() + " here", {},
                       "allow the pair in the mesh policy"));
  }

  bool certificate_form() {
    Result<crypto::Certificate> certificate = context_.proofs->certificate(certificate_der_);
    if (!certificate) return record(DimCheck::kChain, fail(std::move(certificate).error()));
    certificate_.emplace(std::move(*certificate));
    return true;
  }

  Status chain() const {
    CYGNET_CHECK_OK(context_.proofs->chain(*certificate_, context_.intermediates, context_.trust,
                                           context_.now));
    CYGNET_TRY(const DeviceIdentity identity, context_.proofs->identity(*certificate_));
    if (identity == DeviceIdentity{context_.mesh, dim().device}) return {};
    return fail(kErrCertificateIdentity,
                "the certificate is " + identity.device.value() + "'s in mesh " +
                    mesh_id_text(identity.mesh) + ", the DIM is " + dim().device.value() +
                    "'s in mesh " + mesh_id_text(context_.mesh),
                {}, "find out who published it: a device signs for itself only");
  }

  bool revocation() {
    if (!context_.is_revoked) return true;
    if (!context_.is_revoked(*certificate_)) return record(DimCheck::kRevocation, {});
    return record(DimCheck::kRevocation,
                  fail(kErrRevoked, "the certificate of " + dim().device.value() + " is revoked",
                       {}, "enrol the device anew under another name, with a new key"));
  }

  bool pin() {
    if (!context_.pin) return true;
    const std::optional<KeyPin> pin = context_.pin(dim().device, certificate_->spki_hash());
    const bool equal = pin && pin->spki_sha256 == certificate_->spki_hash();
    if (!pin || equal || pin->may_change) {
      key_is_pinned_ = equal;
      return record(DimCheck::kPin, {});
    }
    return record(DimCheck::kPin,
                  fail(kErrPeerKeyChanged,
                       dim().device.value() + " signs with another key than the one first seen", {},
                       "if the device was replaced on purpose, confirm it on this device or name "
                       "it under `rekeyed` in the policy"));
  }

  // The content was verified when it was first accepted; only what can have changed since is asked
  // again, and the whole proof when the key is not the pinned one.
  bool same_checks() {
    if (!revocation() || !pin()) return false;
    if (key_is_pinned_) return true;
    return record(DimCheck::kChain, chain()) && auth();
  }

  bool full_checks() {
    if (!record(DimCheck::kChain, chain()) || !revocation() || !pin() || !auth()) return false;
    if (counter_ == CounterVerdict::kEquivocation) return true;
    return nonce() && record(DimCheck::kPublicValues, context_.proofs->public_values(dim()));
  }

  bool auth() {
    return record(DimCheck::kAuth,
                  context_.proofs->auth(dim(), octets_, context_.mesh, *certificate_));
  }

  bool nonce() {
    if (!context_.nonce_holder) return true;
    const std::optional<std::string> holder = context_.nonce_holder(dim().device, dim().nonce);
    if (!holder) return record(DimCheck::kNonce, {});
    return record(DimCheck::kNonce, fail(kErrNonceReused,
                                         "the nonce of " + name_and_counter(dim()) +
                                             " is already held from " + *holder,
                                         {}, "roll the device over: it has to draw a new nonce"));
  }

  void finish() {
    result_.dim = context_.proofs->keep(*form_, octets_, *certificate_);
    if (counter_ == CounterVerdict::kEquivocation) {
      result_.verdict = DimVerdict::kEquivocation;
      result_.error = counter_error_;
      return;
    }
    const bool same = counter_ == CounterVerdict::kSame;
    result_.verdict = same ? DimVerdict::kSame : DimVerdict::kAccepted;
    result_.treat_as_initial_contact = initial_contact_ && !same;
    result_.pin_key = context_.pin && !key_is_pinned_;
    if (context_.local == nullptr) return;
    Result<Agreement> agreement = negotiate(*context_.local, dim(), context_.ppk_mandatory);
    if (agreement) {
      record(DimCheck::kNegotiation, {});
      result_.agreement = std::move(*agreement);
    } else {
      CheckResult& entry = result_.checks[static_cast<std::size_t>(DimCheck::kNegotiation)];
      entry.outcome = CheckOutcome::kFailed;
      entry.error = std::move(agreement).error();
    }
  }

  ByteView octets_;
  ByteView certificate_der_;
  const DimCheckContext& context_;
  DimCheckResult result_;
  std::shared_ptr<const DimForm> form_;  ///< set from the first check on
  CounterVerdict counter_ = CounterVerdict::kNewer;
  std::optional<Error> counter_error_;
  std::optional<crypto::Certificate> certificate_;
  bool initial_contact_ = false;
  bool key_is_pinned_ = false;
};

}  // namespace

Result<std::shared_ptr<const DimForm>> DimProofs::form(ByteView octets) const {
  CYGNET_TRY(Dim dim, decode_dim(octets));
  return std::make_shared<const DimForm>(DimForm{std::move(dim), dim_digest(octets)});
}

Result<crypto::Certificate> DimProofs::certificate(ByteView der) const {
  return crypto::Certificate::from_der(der);
}

Status DimProofs::chain(const crypto::Certificate& leaf,
                        const std::vector<crypto::Certificate>& intermediates,
                        const std::vector<crypto::Certificate>& trust, ServerTime now) const {
  return crypto::verify_chain(leaf, intermediates, trust, now);
}

Result<DeviceIdentity> DimProofs::identity(const crypto::Certificate& leaf) const {
  return identity_of_leaf(leaf);
}

Status DimProofs::auth(const Dim& dim, ByteView octets, const crypto::MeshId& mesh,
                       const crypto::Certificate& certificate) const {
  return verify_dim(dim, octets, mesh, certificate);
}

Status DimProofs::public_values(const Dim& dim) const {
  for (const DhPublic& ke : dim.kes) {
    const auto group = crypto::dh_group_from(ke.group);
    if (!group || !group_is_usable(dim.proposals, ke.group)) continue;
    Status status = crypto::check_public_value(*group, ke.value);
    if (!status) return fail(std::move(status).error().within("KE payload"));
  }
  return {};
}

std::shared_ptr<const AcceptedDim> DimProofs::keep(const DimForm& form, ByteView octets,
                                                   const crypto::Certificate& certificate) const {
  return std::make_shared<const AcceptedDim>(AcceptedDim{
      form.dim, Bytes(octets.begin(), octets.end()), form.digest, certificate.compact()});
}

const DimProofs& real_proofs() {
  static const DimProofs proofs;
  return proofs;
}

std::string_view to_string(DimCheck check) {
  switch (check) {
    case DimCheck::kForm:
      return "form";
    case DimCheck::kCounter:
      return "counter";
    case DimCheck::kPad:
      return "pad";
    case DimCheck::kChain:
      return "chain";
    case DimCheck::kRevocation:
      return "revocation";
    case DimCheck::kPin:
      return "pin";
    case DimCheck::kAuth:
      return "auth";
    case DimCheck::kNonce:
      return "nonce";
    case DimCheck::kPublicValues:
      return "public-values";
    case DimCheck::kNegotiation:
      return "negotiation";
  }
  return "unknown";
}

std::string_view to_string(CheckOutcome outcome) {
  switch (outcome) {
    case CheckOutcome::kPassed:
      return "passed";
    case CheckOutcome::kFailed:
      return "failed";
    case CheckOutcome::kNotRun:
      return "not-run";
  }
  return "unknown";
}

std::string_view to_string(DimVerdict verdict) {
  switch (verdict) {
    case DimVerdict::kAccepted:
      return "accepted";
    case DimVerdict::kSame:
      return "same";
    case DimVerdict::kStale:
      return "stale";
    case DimVerdict::kEquivocation:
      return "equivocation";
    case DimVerdict::kRefused:
      return "refused";
  }
  return "unknown";
}

crypto::Sha256 dim_digest(ByteView octets) { return crypto::sha256({octets_before_auth(octets)}); }

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.2
//# It is RECOMMENDED that the ordering be defined by a monotonically increasing counter value
//# distributed with the IPsec policy.
CounterVerdict judge_counter(const std::optional<KnownDim>& last, const Dim& dim,
                             const crypto::Sha256& digest) {
  if (!last || dim.counter.boot_count() > last->counter.boot_count()) return CounterVerdict::kNewer;
  if (dim.counter == last->counter) {
    return digest == last->digest ? CounterVerdict::kSame : CounterVerdict::kEquivocation;
  }
  if (dim.counter < last->counter) return CounterVerdict::kStale;
  return dim.initial_contact ? CounterVerdict::kInitialContact : CounterVerdict::kNewer;
}

DimCheckResult check_dim(ByteView octets, ByteView certificate_der,
                         const DimCheckContext& context) {
  return Checker(octets, certificate_der, context).run();
}

}  // namespace cygnet::proto
