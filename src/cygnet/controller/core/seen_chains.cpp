// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/seen_chains.h"

#include <algorithm>

namespace cygnet::controller {
namespace {

/// More than devices in any mesh; beyond it everything is forgotten and verified anew.
constexpr std::size_t kChainsMax = 65536;

/// Leaf, intermediates and trust bundle, each list apart.
std::string chain_key(const crypto::Certificate& leaf,
                      const std::vector<crypto::Certificate>& intermediates,
                      const std::vector<crypto::Certificate>& trust) {
  Bytes digests;
  const auto add = [&digests](const crypto::Certificate& certificate) {
    const crypto::Sha256 digest = crypto::sha256({certificate.der()});
    digests.insert(digests.end(), digest.begin(), digest.end());
  };
  add(leaf);
  for (const auto& each : intermediates) add(each);
  digests.push_back(0);
  for (const auto& each : trust) add(each);
  const crypto::Sha256 key = crypto::sha256({digests});
  return std::string(as_text(key));
}

}  // namespace

Status SeenChains::chain(const crypto::Certificate& leaf,
                         const std::vector<crypto::Certificate>& intermediates,
                         const std::vector<crypto::Certificate>& trust, ServerTime now) const {
  const std::string key = chain_key(leaf, intermediates, trust);
  if (const auto it = valid_.find(key);
      it != valid_.end() && now >= it->second.from && now < it->second.until) {
    return {};
  }
  ++verified_;
  CYGNET_CHECK_OK(proto::real_proofs().chain(leaf, intermediates, trust, now));
  Validity validity{leaf.not_before(), leaf.not_after()};
  for (const auto* list : {&intermediates, &trust}) {
    for (const auto& each : *list) {
      validity.from = std::max(validity.from, each.not_before());
      validity.until = std::min(validity.until, each.not_after());
    }
  }
  if (valid_.size() >= kChainsMax) valid_.clear();
  valid_[key] = validity;
  return {};
}

}  // namespace cygnet::controller
