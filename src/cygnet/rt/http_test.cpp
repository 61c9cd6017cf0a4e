// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/http.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/http_message.h"
#include "cygnet/rt/json.h"
#include "cygnet/rt/test_directory.h"
#include "cygnet/rt/test_support.h"

namespace cygnet::rt {
namespace {

using namespace std::chrono_literals;
using test::kPatience;

class Http : public testing::Test {
 protected:
  void listen(HttpLimits limits = {}) {
    auto server = HttpServer::listen_unix(loop_, path_, 0600, limits);
    ASSERT_TRUE(server) << server.error().to_string();
    server_ = std::move(*server);
  }

  /// Runs the blocking client on a thread of its own while this one runs the loop.
  Result<HttpReply> call(HttpCall call) {
    call.socket_path = path_;
    Result<HttpReply> reply = fail(kErrTimeout, "the test's call did not come back");
    std::thread client([&] {
      reply = http_call(call);
      loop_.post([this] { finished_ = true; });
    });
    finished_ = false;
    EXPECT_TRUE(loop_.run_until([&] { return finished_; }, kPatience));
    client.join();
    return reply;
  }
  Result<HttpReply> get(std::string target) { return call({.target = std::move(target)}); }

  /// Sends octets as they are and reads until the server hangs up.
  std::string raw(const std::string& octets) {
    std::string out;
    std::thread client([&] {
      const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      path_.copy(address.sun_path, sizeof address.sun_path - 1);
      if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
          send(fd, octets.data(), octets.size(), MSG_NOSIGNAL) >= 0) {
        char room[4096];
        for (ssize_t n = 0; (n = recv(fd, room, sizeof room, 0)) > 0;) {
          out.append(room, static_cast<std::size_t>(n));
        }
      }
      close(fd);
      loop_.post([this] { finished_ = true; });
    });
    finished_ = false;
    EXPECT_TRUE(loop_.run_until([&] { return finished_; }, kPatience));
    client.join();
    return out;
  }

  test::TempDirectory dir_;
  std::string path_ = dir_ / "s.sock";
  Loop loop_;
  std::unique_ptr<HttpServer> server_;
  bool finished_ = false;
};

TEST_F(Http, HandlersGetParametersQueryBodyAndCredentials) {
  listen();
  HttpRequest seen;
  server_->on("POST", "/api/v1/devices/{name}/rekey", [&](const HttpRequest& request, Responder r) {
    seen = request;
    r.json(R"({"ok":true})", 202);
  });
  const auto reply = call({.method = "POST",
                           .target = "/api/v1/devices/store%2F1/rekey?label=a%3Db&x=1+2&flag",
                           .body = "{}"});
  ASSERT_TRUE(reply) << reply.error().to_string();
  EXPECT_EQ(reply->status, 202U);
  EXPECT_EQ(reply->content_type, "application/json");
  EXPECT_EQ(reply->body, R"({"ok":true})");
  EXPECT_EQ(seen.param("name"), "store/1");
  EXPECT_EQ(seen.query_or("label", ""), "a=b");
  EXPECT_EQ(seen.query_or("x", ""), "1 2");
  EXPECT_EQ(seen.query_or("flag", "unset"), "");
  EXPECT_EQ(seen.query_or("missing", "fallback"), "fallback");
  EXPECT_EQ(seen.body, "{}");
  ASSERT_TRUE(seen.peer.has_value());
  EXPECT_EQ(seen.peer->uid, getuid());
  EXPECT_EQ(seen.peer->pid, getpid());
}

TEST_F(Http, ALiteralRouteWinsOverAParameter) {
  listen();
  server_->on("GET", "/d/{name}", [](const HttpRequest&, Responder r) { r.text("parameter"); });
  server_->on("GET", "/d/all", [](const HttpRequest&, Responder r) { r.text("literal"); });
  EXPECT_EQ(get("/d/all")->body, "literal");
  EXPECT_EQ(get("/d/x")->body, "parameter");
}

TEST_F(Http, AnswersMayComeLater) {
  listen();
  std::optional<Responder> kept;
  Timer timer(loop_);
  server_->on("GET", "/slow", [&](const HttpRequest&, Responder r) {
    kept.emplace(std::move(r));
    timer.arm_after(5ms, [&] { kept->text("late"); });
  });
  EXPECT_EQ(get("/slow")->body, "late");
}

TEST_F(Http, ADroppedResponderAnswers500) {
  listen();
  server_->on("GET", "/drop", [](const HttpRequest&, Responder) {});
  const auto reply = get("/drop");
  EXPECT_EQ(reply->status, 500U);
  EXPECT_EQ(reply->content_type, "application/problem+json");
}

TEST_F(Http, AHandlerThatNeverAnswersGives504) {
  listen({.reply_deadline = 10ms});
  std::optional<Responder> kept;
  server_->on("GET", "/never",
              [&](const HttpRequest&, Responder r) { kept.emplace(std::move(r)); });
  EXPECT_EQ(get("/never")->status, 504U);
  kept->text("too late");  // falls flat
}

TEST_F(Http, ErrorsBecomeProblemDocuments) {
  listen();
  server_->on("GET", "/problem", [](const HttpRequest&, Responder r) {
    r.problem(Error{kErrNotFound, "no device \"x\"", "devices", "see cygnet get devices"});
  });
  const auto reply = get("/problem");
  EXPECT_EQ(reply->status, 404U);
  EXPECT_EQ(reply->body, R"({"type":"urn:cygnet:error:not-found","title":"Not found","status":404,)"
                         R"("detail":"no device \"x\"","code":"not-found","where":"devices",)"
                         R"("cure":"see cygnet get devices"})");
  EXPECT_EQ(status_of(ErrorCode("policy-test")), 422U);
}

TEST_F(Http, UnknownPathsAndMethodsAreTold) {
  listen();
  server_->on("GET", "/here", [](const HttpRequest&, Responder r) { r.text("x"); });
  EXPECT_EQ(get("/nowhere")->status, 404U);
  const auto method = call({.method = "POST", .target = "/here"});
  EXPECT_EQ(method->status, 405U);
  EXPECT_NE(method->body.find("use GET"), std::string::npos);
}

TEST_F(Http, TheGateRefusesBeforeAnyHandler) {
  listen();
  bool reached = false;
  server_->on("GET", "/x", [&](const HttpRequest&, Responder r) {
    reached = true;
    r.empty();
  });
  server_->set_gate([](const HttpRequest& request) -> Status {
    if (request.path == "/x") return fail(kErrDenied, "not you");
    return {};
  });
  EXPECT_EQ(get("/x")->status, 403U);
  EXPECT_FALSE(reached);
}

TEST_F(Http, OversizeRequestsAreRefused) {
  listen({.header_max = 1024, .body_max = 100});
  server_->on("POST", "/x", [](const HttpRequest&, Responder r) { r.empty(); });
  EXPECT_EQ(call({.method = "POST", .target = "/x", .body = std::string(100, 'x')})->status, 204U);
  EXPECT_EQ(call({.method = "POST", .target = "/x", .body = std::string(101, 'x')})->status, 413U);
  EXPECT_EQ(get("/" + std::string(2000, 'x'))->status, 431U);
}

TEST_F(Http, WhatIsNoHttpIsRefused) {
  listen();
  EXPECT_EQ(raw("\x16\x03\x01 nonsense\r\n\r\n").rfind("HTTP/1.1 400", 0), 0U);
  EXPECT_EQ(raw("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n").rfind("HTTP/1.1 400", 0), 0U);
}

TEST_F(Http, ARequestThatTricklesIsCut) {
  listen({.read_deadline = 10ms});
  EXPECT_EQ(raw("GET / HTT").rfind("HTTP/1.1 408", 0), 0U);
}

TEST_F(Http, OneConnectionCarriesManyRequests) {
  listen();
  int served = 0;
  server_->on("GET", "/n",
              [&](const HttpRequest&, Responder r) { r.text(std::to_string(++served)); });
  const std::string one = "GET /n HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string last = "GET /n HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const std::string replies = raw(one + one + last);
  EXPECT_EQ(served, 3);
  EXPECT_NE(replies.find("\r\n\r\n3"), std::string::npos);
}

TEST_F(Http, StreamedBodiesArriveInPiecesAndNoticeTheClientGo) {
  listen();
  std::shared_ptr<BodyStream> body;
  Timer timer(loop_);
  int written = 0;
  std::function<void()> more = [&] {
    if (!body->write("event " + std::to_string(++written) + "\n")) return;
    timer.arm_after(1ms, more);
  };
  server_->on("GET", "/events", [&](const HttpRequest&, Responder r) {
    body = r.stream("text/event-stream");
    more();
  });
  std::string got;
  std::thread client([&] {
    const auto reply = http_call_streaming({.socket_path = path_, .target = "/events"},
                                           [&](std::string_view piece) {
                                             got += piece;
                                             return got.find("event 3") == std::string::npos;
                                           });
    ASSERT_TRUE(reply) << reply.error().to_string();
    EXPECT_EQ(reply->content_type, "text/event-stream");
  });
  EXPECT_TRUE(loop_.run_until([&] { return body && !body->open(); }, kPatience));
  client.join();
  EXPECT_EQ(got.rfind("event 1\nevent 2\n", 0), 0U);
}

TEST_F(Http, AStreamEndsProperly) {
  listen();
  server_->on("GET", "/two", [&](const HttpRequest&, Responder r) {
    const auto body = r.stream("text/plain");
    body->write("one ");
    body->write("two");
    body->close();
  });
  EXPECT_EQ(get("/two")->body, "one two");
}

TEST_F(Http, ASlowReaderOfAStreamIsCut) {
  listen({.stream_backlog_max = 100});
  bool refused = false;
  server_->on("GET", "/flood", [&](const HttpRequest&, Responder r) {
    const auto body = r.stream("text/plain");
    refused = !body->write(std::string(200, 'x'));
  });
  EXPECT_FALSE(get("/flood"));
  EXPECT_TRUE(refused);
}

TEST_F(Http, AStaleSocketFileIsReplacedALiveOneIsNot) {
  {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    close(fd);  // the file stays
  }
  listen();
  const auto second = HttpServer::listen_unix(loop_, path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, kErrListen);
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  server_.reset();
  EXPECT_NE(stat(path_.c_str(), &status), 0) << "the socket file is removed at the end";
}

TEST_F(Http, AFileInTheWayIsNotRemoved) {
  ASSERT_EQ(close(creat(path_.c_str(), 0600)), 0);
  EXPECT_FALSE(HttpServer::listen_unix(loop_, path_));
  struct stat status {};
  EXPECT_EQ(stat(path_.c_str(), &status), 0);
}

TEST_F(Http, TheServerAlsoListensOnTcp) {
  auto server = HttpServer::listen_tcp(loop_, "127.0.0.1", 0);
  ASSERT_TRUE(server);
  const auto second = HttpServer::listen_tcp(loop_, "127.0.0.1", (*server)->port());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("process " + std::to_string(getpid())), std::string::npos);
}

TEST(HttpClient, MissingAndDeadSocketsAreUnreachable) {
  const test::TempDirectory dir;
  const auto missing = http_call({.socket_path = dir / "none", .target = "/"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, kErrUnreachable);
  EXPECT_NE(missing.error().message.find("there is no socket at"), std::string::npos);
}

TEST(HttpClient, ASilentServerTimesOut) {
  const test::TempDirectory dir;
  const std::string path = dir / "s";
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  const auto late = http_call({.socket_path = path, .target = "/", .timeout = 20ms});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, kErrTimeout);
  close(fd);
}

TEST(HttpMessage, PercentCodingRoundTrips) {
  const std::string odd = "a/b c%?&=\xc3\xa9";
  EXPECT_EQ(percent_decode(percent_encode(odd)).value(), odd);
  EXPECT_FALSE(percent_decode("%4"));
  EXPECT_FALSE(percent_decode("%g0"));
  EXPECT_FALSE(parse_target("nothing"));
}

}  // namespace
}  // namespace cygnet::rt
