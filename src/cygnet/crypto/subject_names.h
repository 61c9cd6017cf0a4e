// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Subject names of certificates and requests: the common name and the subjectAltName extension.
/// Built from values, never from OpenSSL's configuration syntax, which a comma in a name could
/// turn into more names. Internal to this directory.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/result.h"

struct stack_st_GENERAL_NAME;
struct X509_name_st;

namespace cygnet::crypto {

struct GeneralNamesDelete {
  void operator()(stack_st_GENERAL_NAME* names) const;
};
using GeneralNamesPtr = std::unique_ptr<stack_st_GENERAL_NAME, GeneralNamesDelete>;

struct SubjectNames {
  std::vector<std::string> dns;
  std::vector<std::string> ip;
  std::vector<std::string> uri;
  [[nodiscard]] bool empty() const { return dns.empty() && ip.empty() && uri.empty(); }
};

/// @retval code  a name that is empty, longer than 1024 octets, not printable ASCII, or (for ip)
///               no address.
[[nodiscard]] Result<GeneralNamesPtr> make_general_names(const SubjectNames& names, ErrorCode code);

enum class NameKind : unsigned char { kDns, kUri };
/// The one name of its kind; nullopt when there is none, more than one, or one that is not
/// printable ASCII (an embedded NUL would read as a shorter name elsewhere).
[[nodiscard]] std::optional<std::string> single_name(const stack_st_GENERAL_NAME* names,
                                                     NameKind kind);

/// RFC 5280 appendix A: ub-common-name is 64, while a DNS name of two labels may have 127.
inline constexpr std::size_t kMaxCommonName = 64;
/// Sets CN; leaves the name empty when the common name does not fit, for the SAN says it all.
[[nodiscard]] bool set_common_name(X509_name_st* subject, const std::string& common_name);

}  // namespace cygnet::crypto
