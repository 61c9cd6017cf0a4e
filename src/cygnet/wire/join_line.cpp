// SPDX-License-Identifier: Apache-2.0
#include "cygnet/wire/join_line.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace cygnet::wire {
namespace {

constexpr std::string_view kScheme = "cyg1:";
constexpr std::string_view kCure =
    "paste the whole line that `cygnet token create` or `cygnetd init` printed";

tl::unexpected<Error> refuse(std::string message) {
  return fail(kErrJoinLine, std::move(message), "join line", std::string(kCure));
}

bool is_label(std::string_view text) {
  const auto inner = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), inner) &&
         text.front() != '-' && text.back() != '-';
}

}  // namespace

std::string to_string(const JoinLine& line) {
  return std::string(kScheme) + line.host + ":" + std::to_string(line.port) + "/" + line.mesh +
         "/" + line.name.value_or("-") + "/" + line.token + "/" + to_hex(line.ca_fingerprint);
}

Result<JoinLine> parse_join_line(std::string_view text) {
  const auto start = text.find(kScheme);
  if (start == std::string_view::npos) return refuse("it does not contain \"cyg1:\"");
  text.remove_prefix(start + kScheme.size());
  text = text.substr(0, text.find_first_of(" \t\r\n'\""));

  std::vector<std::string_view> parts;
  while (true) {
    const auto slash = text.find('/');
    parts.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) break;
    text.remove_prefix(slash + 1);
  }
  if (parts.size() != 5) {
    return refuse("it has " + std::to_string(parts.size()) +
                  " parts between slashes instead of 5 (address, mesh, name, token, fingerprint)");
  }
  JoinLine line;
  const auto colon = parts[0].rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return refuse("the address \"" + std::string(parts[0]) + "\" has no port");
  }
  line.host = parts[0].substr(0, colon);
  const auto port = parts[0].substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), line.port);
  if (error != std::errc{} || end != port.data() + port.size() || line.port == 0) {
    return refuse("the port \"" + std::string(port) + "\" is no number from 1 to 65535");
  }
  if (!is_label(parts[1])) {
    return refuse("the mesh \"" + std::string(parts[1]) + "\" is no lower-case DNS label");
  }
  line.mesh = parts[1];
  if (parts[2] != "-") {
    if (!is_label(parts[2])) {
      return refuse("the device \"" + std::string(parts[2]) + "\" is no lower-case DNS label");
    }
    line.name = parts[2];
  }
  const auto token = from_hex(parts[3]);
  if (!token || token->size() < 16) return refuse("the token is cut short or not hex");
  line.token = parts[3];
  const auto fingerprint = from_hex(parts[4]);
  if (!fingerprint || fingerprint->size() != line.ca_fingerprint.size()) {
    return refuse("the CA fingerprint is not 64 hex digits");
  }
  std::copy(fingerprint->begin(), fingerprint->end(), line.ca_fingerprint.begin());
  return line;
}

}  // namespace cygnet::wire
