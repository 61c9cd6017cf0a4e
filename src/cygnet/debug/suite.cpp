// SPDX-License-Identifier: Apache-2.0
#include "cygnet/debug/suite.h"

namespace cygnet::debug {

Result<crypto::EspSuite> read_suite(Fields& fields) {
  CYGNET_TRY(const std::string encr, fields.text("encr"));
  std::string integ;
  if (fields.has("integ")) {
    CYGNET_TRY(integ, fields.text("integ"));
    if (!integ.empty() && !crypto::integ_from_name(integ)) {
      return fail(kErrUnknownName, "field integ is \"" + integ + "\"", {},
                  "use null, hmac-sha2-256-128, hmac-sha2-384-192 or hmac-sha2-512-256");
    }
  }
  const auto suite = crypto::esp_suite_from_names(encr, integ);
  if (suite) return *suite;
  const bool known = crypto::esp_suite_from_names(encr, "") ||
                     crypto::esp_suite_from_names(encr, "hmac-sha2-256-128");
  if (!known) {
    return fail(kErrUnknownName, "field encr is \"" + encr + "\"", {},
                "use aes-gcm-16-128, aes-gcm-16-256, chacha20-poly1305, aes-cbc-128 or "
                "aes-cbc-256");
  }
  return fail(kErrSuite,
              integ.empty()
                  ? "field integ is null, but " + encr + " needs an integrity algorithm"
                  : "field integ is \"" + integ + "\", but " + encr + " brings its own integrity",
              {}, "give integ with aes-cbc only");
}

}  // namespace cygnet::debug
