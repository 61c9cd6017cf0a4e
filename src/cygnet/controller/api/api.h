// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The operators' HTTP interface of the controller (docs/api.md, "Controller"): routes on an rt
/// HTTP server, answered from the core's views and by the driver's verbs. Loop thread only.

#include <string>

#include "cygnet/controller/driver/controller.h"
#include "cygnet/rt/http.h"

namespace cygnet::controller {

class Api {
 public:
  /// Registers every route. The server's handlers refer to this and to the controller: destroy the
  /// server first.
  Api(Controller& controller, rt::HttpServer& server, ServerTime server_certificate_not_after);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

 private:
  using Request = rt::HttpRequest;
  void devices(rt::HttpServer& server);
  void policy(rt::HttpServer& server);
  void tokens(rt::HttpServer& server);
  void status(rt::HttpServer& server);
  void test_verbs(rt::HttpServer& server);

  void rekey(const Request& request, std::optional<std::string> name, rt::Responder reply);
  void create_token(const Request& request, rt::Responder reply);
  void apply(const Request& request, std::string yaml, std::string source,
             std::optional<std::uint64_t> expect_version, std::string comment, rt::Responder reply);
  void rollback(const Request& request, rt::Responder reply);
  [[nodiscard]] std::string status_json() const;

  Controller& controller_;
  ServerTime started_at_;
  ServerTime server_certificate_not_after_;
};

/// `cygnet why A B` from the controller's side (why.cpp): policy, identities, DIMs, agreement,
/// acknowledgements. JSON text. @retval rt::kErrNotFound, rt::kErrBadRequest
[[nodiscard]] Result<std::string> explain_pair(const Core& core, const std::string& a,
                                               const std::string& b, ServerTime now);

}  // namespace cygnet::controller
