// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/subject_names.h"

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "cygnet/base/assert.h"
#include "cygnet/base/bytes.h"

namespace cygnet::crypto {
namespace {

constexpr std::size_t kMaxName = 1024;

bool is_printable(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

void push(stack_st_GENERAL_NAME* names, int type, ASN1_STRING* value) {
  GENERAL_NAME* const name = GENERAL_NAME_new();
  CYGNET_ASSERT(name != nullptr && value != nullptr);
  GENERAL_NAME_set0_value(name, type, value);
  CYGNET_ASSERT(sk_GENERAL_NAME_push(names, name) > 0);
}

void push_text(stack_st_GENERAL_NAME* names, int type, const std::string& text) {
  ASN1_STRING* const value = ASN1_IA5STRING_new();
  CYGNET_ASSERT(value != nullptr);
  CYGNET_ASSERT(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
  push(names, type, value);
}

}  // namespace

void GeneralNamesDelete::operator()(stack_st_GENERAL_NAME* names) const {
  GENERAL_NAMES_free(names);
}

Result<GeneralNamesPtr> make_general_names(const SubjectNames& names, ErrorCode code) {
  GeneralNamesPtr out(sk_GENERAL_NAME_new_null());
  CYGNET_ASSERT(out != nullptr);
  for (const auto& [type, list] :
       {std::pair(GEN_DNS, &names.dns), std::pair(GEN_URI, &names.uri)}) {
    for (const std::string& text : *list) {
      if (!is_printable(text)) {
        return fail(code, "a subject name is empty, too long or not printable ASCII");
      }
      push_text(out.get(), type, text);
    }
  }
  for (const std::string& text : names.ip) {
    ASN1_OCTET_STRING* const address = a2i_IPADDRESS(text.c_str());
    if (address == nullptr || text.find('\0') != std::string::npos) {
      ASN1_OCTET_STRING_free(address);
      return fail(code, "a subject name is no IP address");
    }
    push(out.get(), GEN_IPADD, address);
  }
  return out;
}

std::optional<std::string> single_name(const stack_st_GENERAL_NAME* names, NameKind kind) {
  if (names == nullptr) return std::nullopt;
  const int wanted = kind == NameKind::kDns ? GEN_DNS : GEN_URI;
  std::optional<std::string> found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
    if (type != wanted) continue;
    if (found.has_value()) return std::nullopt;
    const auto* const text = static_cast<const ASN1_STRING*>(value);
    const std::string_view view =
        as_text({ASN1_STRING_get0_data(text), static_cast<std::size_t>(ASN1_STRING_length(text))});
    if (!is_printable(view)) return std::nullopt;
    found = std::string(view);
  }
  return found;
}

bool set_common_name(X509_name_st* subject, const std::string& common_name) {
  if (common_name.empty() || common_name.size() > kMaxCommonName) return true;
  const ByteView octets = as_bytes(common_name);
  return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, octets.data(),
                                    static_cast<int>(octets.size()), -1, 0) == 1;
}

}  // namespace cygnet::crypto
