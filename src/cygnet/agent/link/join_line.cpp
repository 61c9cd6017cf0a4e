// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/link/join_line.h"

#include <algorithm>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/proto/ids/device_name.h"

namespace cygnet::agent {
namespace {

constexpr std::string_view kPrefix = "cygnet1:";
constexpr std::string_view kCure =
    "paste the whole line as `cygnet token create` (or `cygnetd init`) printed it";

tl::unexpected<Error> refuse(std::string what) {
  return fail(kErrJoinLine, std::move(what), "join line", std::string(kCure));
}

bool is_token_part(std::string_view part) {
  return !part.empty() && part.size() <= 128 && std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
  });
}

}  // namespace

Result<JoinLine> parse_join_line(std::string_view text) {
  text = rt::trim(text);
  if (!text.starts_with("cygnet")) return refuse("it does not begin with \"cygnet1:\"");
  if (!text.starts_with(kPrefix)) {
    return refuse("it is of another version than \"cygnet1:\", which this program reads");
  }
  const std::vector<std::string> parts = rt::split(text.substr(kPrefix.size()), '/');
  if (parts.size() != 4) {
    return refuse("it has " + std::to_string(parts.size()) +
                  " parts between slashes instead of 4: controller, mesh, CA fingerprint, token");
  }
  JoinLine line;
  auto controller = rt::parse_host_port(parts[0]);
  if (!controller || controller->port == 0) {
    return refuse("its controller \"" + parts[0] + "\" is no host:port");
  }
  line.controller = std::move(*controller);
  if (!proto::is_dns_label(parts[1])) {
    return refuse("its mesh \"" + parts[1] + "\" is no lower-case DNS label");
  }
  line.mesh = parts[1];
  const auto fingerprint = from_hex(parts[2]);
  if (!fingerprint || fingerprint->size() != line.ca_fingerprint.size()) {
    return refuse("its CA fingerprint is not 64 hex digits");
  }
  std::copy(fingerprint->begin(), fingerprint->end(), line.ca_fingerprint.begin());
  const std::size_t dot = parts[3].find('.');
  if (dot == std::string::npos || !is_token_part(std::string_view(parts[3]).substr(0, dot)) ||
      !is_token_part(std::string_view(parts[3]).substr(dot + 1))) {
    return refuse("its token is not <id>.<secret>");
  }
  line.token_id = parts[3].substr(0, dot);
  line.secret = parts[3].substr(dot + 1);
  return line;
}

}  // namespace cygnet::agent
