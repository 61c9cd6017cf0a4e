// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Routes and targets of HTTP requests: pure parts of the server, without sockets.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/rt/http.h"

namespace cygnet::rt {

struct Target {
  std::string path;                   ///< decoded
  std::vector<std::string> segments;  ///< decoded one by one: %2F does not split
  std::map<std::string, std::string> query;
};
/// @retval kErrBadRequest
[[nodiscard]] Result<Target> parse_target(std::string_view target);

class Router {
 public:
  void add(std::string method, const std::string& pattern, HttpHandler handler);

  struct Match {
    HttpHandler* handler = nullptr;  ///< nullptr: no such path, or `allow` names other methods
    std::map<std::string, std::string> params;
    std::string allow;
  };
  [[nodiscard]] Match find(const std::string& method, const std::vector<std::string>& segments);

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    std::size_t literals = 0;
    HttpHandler handler;
  };
  std::vector<std::unique_ptr<Route>> routes_;  // stable addresses: a handler may add routes
};

}  // namespace cygnet::rt
