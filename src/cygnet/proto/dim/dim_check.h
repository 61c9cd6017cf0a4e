// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The receiver's ordered checks of a DIM (docs/protocol.md section 3, "Checks"): what a device
/// does before any state changes, and what the controller repeats on publish. One pure function;
/// what the receiver knows comes in through DimCheckContext, time included.
///
/// Reentrant: may run on a worker thread as long as the context's functions may. Whoever stores the
/// result then asks judge_counter() again, since another DIM may have been accepted meanwhile.

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/proto/dim/dim.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/proto/negotiate/negotiate.h"

namespace cygnet::proto {

inline constexpr ErrorCode kErrStaleDim{"stale-dim"};
inline constexpr ErrorCode kErrEquivocation{"equivocation"};
inline constexpr ErrorCode kErrInitialContact{"initial-contact"};
inline constexpr ErrorCode kErrPad{"pad"};
inline constexpr ErrorCode kErrRevoked{"revoked"};
inline constexpr ErrorCode kErrPeerKeyChanged{"peer-key-changed"};
inline constexpr ErrorCode kErrNonceReused{"nonce-reused"};

/// The checks, in the order in which they run.
enum class DimCheck : std::uint8_t {
  kForm,
  kCounter,
  kPad,
  kChain,
  kRevocation,
  kPin,
  kAuth,
  kNonce,
  kPublicValues,
  kNegotiation,
};
inline constexpr std::size_t kDimCheckCount = 10;
/// "form", "counter", "pad", "chain", "revocation", "pin", "auth", "nonce", "public-values",
/// "negotiation".
[[nodiscard]] std::string_view to_string(DimCheck check);

enum class CheckOutcome : std::uint8_t { kPassed, kFailed, kNotRun };
/// "passed", "failed", "not-run".
[[nodiscard]] std::string_view to_string(CheckOutcome outcome);

struct CheckResult {
  DimCheck check = DimCheck::kForm;
  CheckOutcome outcome = CheckOutcome::kNotRun;
  std::optional<Error> error;  ///< of a failed check
};

/// What survives of the last accepted DIM of a device, also across its removal and return.
struct KnownDim {
  RekeyCounter counter;
  crypto::Sha256 digest{};  ///< of the octets before AUTH: a signature may differ
};
/// SHA-256 of the octets before AUTH. Precondition: decode_dim(octets) succeeded.
[[nodiscard]] crypto::Sha256 dim_digest(ByteView octets);

/// What decode_dim and dim_digest make of a DIM's octets.
struct DimForm {
  Dim dim;
  crypto::Sha256 digest{};
};

/// A DIM that passed, with everything its owner has to keep and relay.
struct AcceptedDim {
  Dim dim;
  Bytes octets;
  crypto::Sha256 digest{};  ///< dim_digest(octets)
  crypto::Certificate certificate;
  [[nodiscard]] KnownDim known() const { return {dim.counter, digest}; }
};

enum class CounterVerdict : std::uint8_t {
  kNewer,
  kSame,            ///< equal counter, equal octets before AUTH
  kEquivocation,    ///< equal counter, other octets
  kStale,           ///< lower counter
  kInitialContact,  ///< INITIAL_CONTACT without a higher boot count
};
[[nodiscard]] CounterVerdict judge_counter(const std::optional<KnownDim>& last, const Dim& dim,
                                           const crypto::Sha256& digest);

/// The parts of the checks that cost time. They are functions of octets alone, so a simulator that
/// lets one DIM reach a thousand receivers may remember their answers; everybody else uses
/// real_proofs().
class DimProofs {
 public:
  virtual ~DimProofs() = default;
  /// @retval of decode_dim
  [[nodiscard]] virtual Result<std::shared_ptr<const DimForm>> form(ByteView octets) const;
  [[nodiscard]] virtual Result<crypto::Certificate> certificate(ByteView der) const;
  [[nodiscard]] virtual Status chain(const crypto::Certificate& leaf,
                                     const std::vector<crypto::Certificate>& intermediates,
                                     const std::vector<crypto::Certificate>& trust,
                                     ServerTime now) const;
  /// @retval of identity_of_leaf
  [[nodiscard]] virtual Result<DeviceIdentity> identity(const crypto::Certificate& leaf) const;
  [[nodiscard]] virtual Status auth(const Dim& dim, ByteView octets, const crypto::MeshId& mesh,
                                    const crypto::Certificate& certificate) const;
  [[nodiscard]] virtual Status public_values(const Dim& dim) const;
  /// One value for all who accept the same DIM, or a new one.
  [[nodiscard]] virtual std::shared_ptr<const AcceptedDim> keep(
      const DimForm& form, ByteView octets, const crypto::Certificate& certificate) const;
};
[[nodiscard]] const DimProofs& real_proofs();

/// A pinned key and whether policy (`rekeyed`) or an operator on the device allows another.
struct KeyPin {
  crypto::Sha256 spki_sha256{};
  bool may_change = false;
};

/// What the receiver knows. A function left empty means that its check is not run: the controller
/// has no pins and no local DIM, the debugging verb has neither policy nor history.
struct DimCheckContext {
  crypto::MeshId mesh{};
  ServerTime now{};
  std::vector<crypto::Certificate> trust;
  std::vector<crypto::Certificate> intermediates;
  std::function<std::optional<KnownDim>(const DeviceName&)> last_accepted;
  std::function<bool(const DeviceName&)> pad_allows;
  std::function<bool(const crypto::Certificate&)> is_revoked;
  /// The second is the digest of the key that the device shows.
  std::function<std::optional<KeyPin>(const DeviceName&, const crypto::Sha256&)> pin;
  /// Who else holds this nonce: another device, we ourselves, or an earlier generation of the same
  /// device. nullopt when nobody does.
  std::function<std::optional<std::string>(const DeviceName&, ByteView)> nonce_holder;
  std::shared_ptr<const DimForm> form;  ///< of these very octets, when the caller has it already
  const Dim* local = nullptr;           ///< own DIM to negotiate with
  bool ppk_mandatory = false;
  const DimProofs* proofs = &real_proofs();  ///< never null
};

enum class DimVerdict : std::uint8_t {
  kAccepted,
  kSame,          ///< nothing new; the pairs it promises are completed under "Install once"
  kStale,         ///< ignored; reported only outside a resume
  kEquivocation,  ///< AUTH verified: alarm, and keep both as evidence
  kRefused,
};
/// "accepted", "same", "stale", "equivocation", "refused".
[[nodiscard]] std::string_view to_string(DimVerdict verdict);

struct DimCheckResult {
  DimVerdict verdict = DimVerdict::kRefused;
  std::vector<CheckResult> checks;  ///< all ten, in order
  /// Why, unless accepted or same.
  std::optional<Error> error;
  /// Present when accepted, same or equivocating. With kSame the octets before AUTH are the known
  /// ones; the signature around them is not verified when the certificate's key is the pinned one.
  std::shared_ptr<const AcceptedDim> dim;
  /// Accepted with the flag or with a higher boot count than the last: drop the old state.
  bool treat_as_initial_contact = false;
  /// The certificate's key is to be pinned (first sight or allowed change).
  bool pin_key = false;
  /// With context.local. Absent when negotiation failed, which is no refusal: the DIM counts, there
  /// is no SA until the next DIM of either side matches, and NO_PROPOSAL_CHOSEN is reported.
  std::optional<Agreement> agreement;

  [[nodiscard]] const CheckResult& of(DimCheck check) const {
    return checks[static_cast<std::size_t>(check)];
  }
};

[[nodiscard]] DimCheckResult check_dim(ByteView octets, ByteView certificate_der,
                                       const DimCheckContext& context);

}  // namespace cygnet::proto
