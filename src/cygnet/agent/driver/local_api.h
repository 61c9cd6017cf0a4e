// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The agent's HTTP/JSON interface on a Unix socket (docs/api.md, "Agent"). Answers within 100 ms
/// whatever the data plane does: what it does not tell in time is shown as it was last. Control
/// thread only.

#include <functional>
#include <memory>
#include <string>

#include "cygnet/agent/driver/agent.h"
#include "cygnet/rt/http.h"

namespace cygnet::agent {

class LocalApi {
 public:
  /// @param on_stop  POST /api/v1/stop: end the process, opening the routes or not
  /// @retval rt::kErrListen
  [[nodiscard]] static Result<std::unique_ptr<LocalApi>> create(
      rt::Loop& loop, Agent& agent, const std::string& socket_path,
      std::function<void(bool open)> on_stop);

 private:
  LocalApi(Agent& agent, std::unique_ptr<rt::HttpServer> server,
           std::function<void(bool open)> on_stop);
  void routes();
  [[nodiscard]] bool can_be_sent_to(proto::PeerId peer) const;
  void probe_and_explain(proto::PeerId peer, rt::Responder reply);
  void ping(const rt::HttpRequest& request, rt::Responder reply);
  void confirm_key(const rt::HttpRequest& request, rt::Responder reply);

  Agent& agent_;
  std::function<void(bool open)> on_stop_;
  std::unique_ptr<rt::HttpServer> server_;
};

}  // namespace cygnet::agent
