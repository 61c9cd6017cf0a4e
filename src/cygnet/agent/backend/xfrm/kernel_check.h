// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What this kernel can do, found out by installing an SA of each kind and removing it again, and
/// said in words an operator can act on. It also loads the kernel's modules: the first SA of an
/// algorithm can take a second, and is not to take it in the middle of a rekey.

#include <string>
#include <vector>

#include "cygnet/agent/backend/xfrm/socket.h"
#include "cygnet/crypto/random.h"

namespace cygnet::agent::xfrm {

inline constexpr ErrorCode kErrKernelEsp{"kernel-esp"};
inline constexpr ErrorCode kErrKernelAlgorithm{"kernel-algorithm"};
inline constexpr ErrorCode kErrKernelRefused{"kernel-refused"};

/// Why the kernel refused an SA, with its cure.
/// @param error  errno
/// @param text   the kernel's own words, may be empty
[[nodiscard]] Error explain_sa_refusal(const crypto::EspSuite& suite, bool outer_v6, int error,
                                       const std::string& text);
/// The same for a policy; `what` names it.
[[nodiscard]] Error explain_policy_refusal(const std::string& what, int error,
                                           const std::string& text);
/// The modules that make a suite work: "gcm seqiv".
[[nodiscard]] std::string modules_of(const crypto::EspSuite& suite);
/// Every suite of docs/protocol.md section 8.
[[nodiscard]] const std::vector<crypto::EspSuite>& known_suites();

struct KernelAbilities {
  bool v4 = false;
  bool v6 = false;
  std::vector<crypto::EspSuite> suites;
  std::vector<std::string> notes;  ///< what is missing, for `cygnet status`
  [[nodiscard]] bool can(const crypto::EspSuite& suite) const;
};

/// @retval kErrKernelEsp        no ESP in either address family
/// @retval kErrKernelAlgorithm  ESP, but none of our suites
/// @retval kErrPrivilege, kErrKernelAnswer
[[nodiscard]] Result<KernelAbilities> examine_kernel(XfrmSocket& socket, crypto::Random& random);

}  // namespace cygnet::agent::xfrm
