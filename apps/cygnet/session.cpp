// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <filesystem>
#include <istream>
#include <iterator>
#include <ostream>

#include "cygnet/rt/fs.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/text.h"
#include "exit_codes.h"
#include "yaml_text.h"

namespace cygnet::cli {
namespace {

using rt::Json;

constexpr std::size_t kInputMax = std::size_t{16} << 20;

int exit_of_status(unsigned status) {
  switch (status) {
    case 401:
    case 403:
      return kExitDenied;
    case 404:
      return kExitNotFound;
    case 408:
    case 504:
      return kExitTimeout;
    case 503:
      return kExitUnreachable;
    default:
      return kExitError;
  }
}

int exit_of(ErrorCode code) {
  if (code == rt::kErrUnreachable) return kExitUnreachable;
  return exit_of_status(rt::status_of(code));
}

std::string member_text(const Json& object, const char* name) {
  const Json& value = at_path(object, name);
  return value.is_string() ? printable(value.get<std::string>()) : std::string();
}

}  // namespace

Session::Session(const Surroundings& surroundings, const Options& options)
    : surroundings_(surroundings), options_(options) {
  if (options.output == "wide") output_ = Output::kWide;
  if (options.output == "json") output_ = Output::kJson;
  if (options.output == "yaml") output_ = Output::kYaml;
  style_.now = surroundings.now();
  // https://no-color.org: any value turns colour off.
  style_.colour =
      surroundings.out_is_tty && !options.no_colour && !surroundings.variable("NO_COLOR");
}

std::optional<int> Session::check_options() {
  const auto timeout = rt::parse_duration(options_.timeout);
  if (!timeout) {
    return usage("--timeout: " + timeout.error().message, timeout.error().cure);
  }
  timeout_ = *timeout;
  return std::nullopt;
}

std::string Session::socket_of(Daemon daemon) const {
  if (daemon == Daemon::kAgent) {
    if (!options_.agent_socket.empty()) return options_.agent_socket;
    return surroundings_.variable("CYGNET_AGENT_SOCKET").value_or(kAgentSocket);
  }
  if (!options_.socket.empty()) return options_.socket;
  if (!options_.state.empty()) return options_.state + "/cygnetd.sock";
  if (auto named = surroundings_.variable("CYGNETD_SOCKET")) return *named;
  std::error_code ignored;
  const bool in_state = !std::filesystem::exists(kControllerSocket, ignored) &&
                        std::filesystem::exists(kControllerStateSocket, ignored);
  return in_state ? kControllerStateSocket : kControllerSocket;
}

bool Session::located(Daemon daemon) const {
  if (daemon == Daemon::kAgent) {
    return !options_.agent_socket.empty() || surroundings_.variable("CYGNET_AGENT_SOCKET");
  }
  return !options_.socket.empty() || !options_.state.empty() ||
         surroundings_.variable("CYGNETD_SOCKET");
}

Error Session::explain(Error error, Daemon daemon) const {
  const bool agent = daemon == Daemon::kAgent;
  const std::string name = agent ? "cygnet-agent" : "cygnetd";
  if (error.code == rt::kErrUnreachable || error.code == rt::kErrTimeout ||
      error.code == rt::kErrDenied) {
    error.message = "cannot reach " + name + ": " + error.message;
  }
  if (error.code == rt::kErrUnreachable) {
    error.cure = "start it (systemctl start " + name + "), or run this on the " +
                 (agent ? "device" : "controller's host") + ", or say where its socket is with " +
                 (agent ? "--agent-socket" : "--socket");
  }
  return error;
}

namespace {

rt::HttpCall call_of(const Request& request, std::string socket, Duration timeout) {
  rt::HttpCall call;
  call.socket_path = std::move(socket);
  call.method = request.method;
  call.target = request.target;
  if (!request.body.is_null()) call.body = rt::dump_json(request.body);
  call.timeout = timeout + request.extra_time;
  return call;
}

}  // namespace

Result<Answer> Session::try_ask(const Request& request) {
  CYGNET_TRY(auto reply, rt::http_call(call_of(request, socket_of(request.daemon), timeout_)));
  if (reply.status >= 300) {
    return fail(rt::kErrInternal, "HTTP status " + std::to_string(reply.status));
  }
  CYGNET_TRY(auto json, rt::parse_json(reply.body));
  return Answer{std::move(reply.body), std::move(json)};
}

std::optional<Answer> Session::ask(const Request& request, int& exit) {
  auto reply = rt::http_call(call_of(request, socket_of(request.daemon), timeout_));
  if (!reply) {
    exit = report(explain(std::move(reply).error(), request.daemon));
    return std::nullopt;
  }
  if (reply->status >= 300) {
    exit = report_problem(reply->status, reply->body, request.source);
    return std::nullopt;
  }
  auto json = rt::parse_json(reply->body);
  if (!json) {
    exit = report(Error{rt::kErrInternal,
                        "the answer to " + request.method + " " + request.target +
                            " is no JSON: " + json.error().message,
                        {},
                        "check that the socket belongs to a Cygnet daemon of this version"});
    return std::nullopt;
  }
  return Answer{std::move(reply->body), std::move(*json)};
}

void Session::show(const Answer& answer, const std::function<std::string(const Json&)>& human) {
  auto& out = surroundings_.out;
  if (output_ == Output::kJson) {
    out << answer.body;
    if (answer.body.empty() || answer.body.back() != '\n') out << '\n';
  } else if (output_ == Output::kYaml) {
    out << to_yaml(answer.json);
  } else {
    out << human(answer.json);
  }
  out.flush();
}

int Session::ask_and_show(const Request& request,
                          const std::function<std::string(const Json&)>& human,
                          const std::function<int(const Json&)>& code) {
  int exit = kExitOk;
  const auto answer = ask(request, exit);
  if (!answer) return exit;
  show(*answer, human);
  return code ? code(answer->json) : kExitOk;
}

std::string Session::error_word() const {
  return style_.colour ? "\x1b[31merror:\x1b[0m " : "error: ";
}

int Session::report(const Error& error) {
  auto& err = surroundings_.err;
  if (!for_people()) {
    err << rt::problem_json(error, rt::status_of(error.code)) << '\n';
  } else {
    err << error_word() << printable(error.message) << '\n';
    if (!error.where.empty()) err << "  at    " << printable(error.where) << '\n';
    if (!error.cure.empty()) err << "  next  " << printable(error.cure) << '\n';
  }
  return exit_of(error.code);
}

int Session::usage(const std::string& message, const std::string& cure) {
  surroundings_.err << error_word() << printable(message) << '\n';
  if (!cure.empty()) surroundings_.err << "  next  " << printable(cure) << '\n';
  return kExitUsage;
}

int Session::report_problem(unsigned status, const std::string& body, const std::string& source) {
  auto& err = surroundings_.err;
  const auto problem = rt::parse_json(body);
  if (!problem || !problem->is_object()) {
    report(Error{rt::kErrInternal,
                 "the daemon answers with HTTP status " + std::to_string(status),
                 {},
                 "see the daemon's log"});
    return exit_of_status(status);
  }
  if (!for_people()) {
    err << body << '\n';
    return exit_of_status(status);
  }
  const std::string detail = member_text(*problem, "detail");
  const std::string code = member_text(*problem, "code");
  err << error_word() << (detail.empty() ? "HTTP status " + std::to_string(status) : detail);
  if (!code.empty()) err << " (" << code << ")";
  err << '\n';
  if (const auto where = member_text(*problem, "where"); !where.empty()) {
    err << "  at    " << where << '\n';
  }
  const Json& errors = at_path(*problem, "errors");
  for (const auto& one : errors.is_array() ? errors : Json::array()) {
    err << "  " << place_of(one, source) << ": " << member_text(one, "message") << '\n';
    if (const auto cure = member_text(one, "cure"); !cure.empty()) err << "      " << cure << '\n';
  }
  if (const auto cure = member_text(*problem, "cure"); !cure.empty()) {
    err << "  next  " << cure << '\n';
  }
  return exit_of_status(status);
}

std::string place_of(const Json& error, const std::string& source) {
  std::string place = source.empty() ? "policy" : source;
  if (const Json& line = at_path(error, "line"); line.is_number()) {
    place += ":" + line.dump() + ":" + at_path(error, "column").dump();
  }
  return place;
}

Result<std::string> read_input(const std::string& path, std::istream& in) {
  if (path != "-") return rt::read_text_file(path, kInputMax);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (text.size() > kInputMax) {
    return fail(rt::kErrFileTooLarge, "standard input is larger than 16 MiB");
  }
  return text;
}

}  // namespace cygnet::cli
