// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/http_message.h"

#include <algorithm>
#include <array>

#include "cygnet/rt/http_client.h"
#include "cygnet/rt/json.h"
#include "cygnet/rt/text.h"

namespace cygnet::rt {
namespace {

struct StatusRow {
  ErrorCode code;
  unsigned status;
};
constexpr std::array kStatuses{
    StatusRow{kErrBadRequest, 400}, StatusRow{kErrDenied, 403},      StatusRow{kErrNotFound, 404},
    StatusRow{kErrMethod, 405},     StatusRow{kErrConflict, 409},    StatusRow{kErrTooLarge, 413},
    StatusRow{kErrInternal, 500},   StatusRow{kErrUnavailable, 503}, StatusRow{kErrTimeout, 504}};

std::string title_of(unsigned status) {
  switch (status) {
    case 400:
      return "Bad request";
    case 403:
      return "Denied";
    case 404:
      return "Not found";
    case 405:
      return "Method not allowed";
    case 409:
      return "Conflict";
    case 413:
    case 431:
      return "Too large";
    case 422:
      return "Refused";
    case 503:
      return "Unavailable";
    case 504:
      return "Timed out";
    default:
      return status >= 500 ? "Internal error" : "Request failed";
  }
}

bool is_parameter(const std::string& segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

unsigned status_of(ErrorCode code) {
  for (const auto& row : kStatuses) {
    if (row.code == code) return row.status;
  }
  return 422;
}

std::string problem_json(const Error& error, unsigned status) {
  Json problem;
  problem["type"] = "urn:cygnet:error:" + std::string(error.code.name());
  problem["title"] = title_of(status);
  problem["status"] = status;
  problem["detail"] = error.message;
  problem["code"] = std::string(error.code.name());
  if (!error.where.empty()) problem["where"] = error.where;
  if (!error.cure.empty()) problem["cure"] = error.cure;
  return dump_json(problem);
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kPlain = "-._~";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       kPlain.find(c) != std::string_view::npos;
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[octet >> 4]);
      out.push_back(kHex[octet & 15]);
    }
  }
  return out;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return fail(kErrBadRequest, "\"" + std::string(text) + "\" has a % without two hex digits");
      }
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

Result<Target> parse_target(std::string_view target) {
  Target out;
  const auto question = target.find('?');
  const std::string_view path = target.substr(0, question);
  if (path.empty() || path[0] != '/') {
    return fail(kErrBadRequest, "request target \"" + std::string(path) + "\" is no path");
  }
  for (const auto& segment : split(path.substr(1), '/')) {
    CYGNET_TRY(auto decoded, percent_decode(segment));
    out.path += "/" + decoded;
    out.segments.push_back(std::move(decoded));
  }
  if (question == std::string_view::npos) return out;
  for (const auto& pair : split(target.substr(question + 1), '&')) {
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    CYGNET_TRY(auto name, percent_decode(std::string_view(pair).substr(0, equals), true));
    std::string value;
    if (equals != std::string::npos) {
      CYGNET_TRY(value, percent_decode(std::string_view(pair).substr(equals + 1), true));
    }
    out.query[name] = value;
  }
  return out;
}

void Router::add(std::string method, const std::string& pattern, HttpHandler handler) {
  auto route = std::make_unique<Route>();
  route->method = std::move(method);
  route->segments = split(std::string_view(pattern).substr(1), '/');
  route->literals =
      static_cast<std::size_t>(std::count_if(route->segments.begin(), route->segments.end(),
                                             [](const auto& s) { return !is_parameter(s); }));
  route->handler = std::move(handler);
  routes_.push_back(std::move(route));
}

Router::Match Router::find(const std::string& method, const std::vector<std::string>& segments) {
  Match match;
  Route* best = nullptr;
  std::vector<std::string> others;
  for (const auto& route : routes_) {
    if (route->segments.size() != segments.size()) continue;
    bool fits = true;
    for (std::size_t i = 0; fits && i < segments.size(); ++i) {
      fits = is_parameter(route->segments[i]) ? !segments[i].empty()
                                              : route->segments[i] == segments[i];
    }
    if (!fits) continue;
    if (route->method != method) {
      others.push_back(route->method);
    } else if (best == nullptr || route->literals > best->literals) {
      best = route.get();
    }
  }
  if (best == nullptr) {
    match.allow = join(others, ", ");
    return match;
  }
  match.handler = &best->handler;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const auto& name = best->segments[i];
    if (is_parameter(name)) match.params[name.substr(1, name.size() - 2)] = segments[i];
  }
  return match;
}

std::string HttpRequest::param(const std::string& name) const {
  const auto found = params.find(name);
  return found == params.end() ? std::string() : found->second;
}

std::string HttpRequest::query_or(const std::string& name, std::string fallback) const {
  const auto found = query.find(name);
  return found == query.end() ? std::move(fallback) : found->second;
}

Responder::~Responder() {
  if (sink_) {
    problem(Error{
        kErrInternal, "the request was given up inside the daemon", {}, "see the daemon's log"});
  }
}

void Responder::json(std::string body, unsigned status) {
  text(std::move(body), "application/json", status);
}

void Responder::text(std::string body, std::string content_type, unsigned status) {
  if (const auto sink = std::exchange(sink_, nullptr)) {
    sink->reply(status, std::move(content_type), std::move(body));
  }
}

void Responder::problem(const Error& error) { problem(error, status_of(error.code)); }

void Responder::problem(const Error& error, unsigned status) {
  text(problem_json(error, status), "application/problem+json", status);
}

void Responder::empty(unsigned status) { text({}, {}, status); }

std::shared_ptr<BodyStream> Responder::stream(std::string content_type) {
  const auto sink = std::exchange(sink_, nullptr);
  return sink ? sink->stream(std::move(content_type)) : nullptr;
}

}  // namespace cygnet::rt
