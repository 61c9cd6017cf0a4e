// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The identity CA's key in the controller's hands (ca.mode embedded). With ca.mode external there
/// is none: requests wait until an operator signs them where the key lives.

#include <string>

#include "cygnet/base/result.h"
#include "cygnet/crypto/identity.h"

namespace cygnet::controller {

class Authority {
 public:
  Authority(crypto::IdentityKey key, crypto::Certificate certificate)
      : key_(std::move(key)), certificate_(std::move(certificate)) {}

  /// A new CA for a mesh.
  [[nodiscard]] static Result<Authority> make(const std::string& mesh_name, ServerTime now);
  [[nodiscard]] const crypto::Certificate& certificate() const { return certificate_; }
  [[nodiscard]] const crypto::IdentityKey& key() const { return key_; }
  [[nodiscard]] Result<crypto::Certificate> sign(const crypto::CertificateSpec& spec) const {
    return crypto::issue(spec, key_, certificate_);
  }

 private:
  crypto::IdentityKey key_;
  crypto::Certificate certificate_;
};

}  // namespace cygnet::controller
