// SPDX-License-Identifier: Apache-2.0
// The operators' interface over its real socket (docs/api.md).
#include "cygnet/controller/api/api.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "cygnet/controller/driver/test_mesh.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/json.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::controller {
namespace {

using rt::Json;
using test::kPatience;
using test::TestDevice;
using test::TestMesh;

class ApiTest : public testing::Test {
 protected:
  ApiTest() { serve(); }

  void serve() {
    api_.reset();
    server_.reset();
    auto server = rt::HttpServer::listen_unix(mesh.loop, socket_, 0660);
    ASSERT_TRUE(server) << server.error().to_string();
    server_ = std::move(*server);
    api_ = std::make_unique<Api>(*mesh.controller, *server_, mesh.loop.wall_now());
  }

  struct Answer {
    unsigned status = 0;
    std::string type;
    Json body;
  };
  Answer call(const std::string& method, const std::string& target, const Json& body = nullptr) {
    std::atomic<bool> done = false;
    std::optional<Result<rt::HttpReply>> reply;
    std::thread client([&] {
      rt::HttpCall request;
      request.socket_path = socket_;
      request.method = method;
      request.target = target;
      if (!body.is_null()) request.body = rt::dump_json(body);
      reply = rt::http_call(request);
      done = true;
    });
    EXPECT_TRUE(mesh.loop.run_until([&] { return done.load(); }, kPatience));
    client.join();
    Answer answer;
    EXPECT_TRUE(*reply) << reply->error().to_string();
    if (!*reply) return answer;
    answer.status = (*reply)->status;
    answer.type = (*reply)->content_type;
    auto parsed = rt::parse_json((*reply)->body);
    EXPECT_TRUE(parsed) << (*reply)->body;
    if (parsed) answer.body = *parsed;
    return answer;
  }
  Answer get(const std::string& target) { return call("GET", target); }
  Answer post(const std::string& target, const Json& body = nullptr) {
    return call("POST", target, body);
  }
  void expect_problem(const Answer& answer, unsigned status, const std::string& code) {
    EXPECT_EQ(answer.status, status) << answer.body.dump();
    EXPECT_TRUE(answer.type.starts_with("application/problem+json")) << answer.type;
    EXPECT_EQ(answer.body.value("code", ""), code) << answer.body.dump();
    EXPECT_FALSE(answer.body.value("detail", "").empty());
  }

  store::TempDirectory directory_;
  std::string socket_ = directory_.file("api.sock");
  TestMesh mesh{TestMesh::Engine::kSqlite};
  std::unique_ptr<rt::HttpServer> server_;
  std::unique_ptr<Api> api_;
};

const Json kPolicy = {{"yaml",
                       "mesh: corp\n"
                       "devices:\n"
                       "  - {name: a, labels: {role: branch}, prefixes: [10.1.0.0/24],\n"
                       "     endpoints: [\"192.0.2.1:4500\"]}\n"
                       "  - {name: b, labels: {role: hub}}\n"
                       "  - {name: c}\n"
                       "rules:\n"
                       "  - {from: role=branch, to: role=hub}\n"
                       "tests:\n"
                       "  - {from: a, to: b, expect: allow}\n"}};

TEST_F(ApiTest, HealthAndStatusAnswer) {
  EXPECT_EQ(get("/healthz").body, Json({{"ok", true}}));
  const auto status = get("/api/v1/status").body;
  EXPECT_EQ(status["mesh"], "corp");
  EXPECT_EQ(status["devices"]["enrolled"], 0);
  EXPECT_EQ(status["policy_version"], 0);
  EXPECT_EQ(status["store"]["state"], "ok");
  EXPECT_TRUE(status["drops"].is_object());
}

TEST_F(ApiTest, TheSocketIsForItsOwnerAndGroup) {
  struct stat info {};
  ASSERT_EQ(stat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660U);
}

TEST_F(ApiTest, PlanThenApplyThenDevicesAndPairs) {
  auto plan = post("/api/v1/policy/plan", kPolicy);
  ASSERT_EQ(plan.status, 200U);
  EXPECT_EQ(plan.body["changes"], true);
  EXPECT_EQ(plan.body["pairs_added"], Json::array({Json::array({"a.corp", "b.corp"})}));
  EXPECT_EQ(plan.body["tests"][0]["ok"], true);
  EXPECT_TRUE(plan.body["errors"].empty());
  EXPECT_EQ(get("/api/v1/policy").body["version"], 0) << "a plan changes nothing";

  const auto applied = post("/api/v1/policy/apply", kPolicy);
  ASSERT_EQ(applied.status, 200U) << applied.body.dump();
  EXPECT_EQ(applied.body["version"], 1);
  EXPECT_EQ(post("/api/v1/policy/apply", kPolicy).body["version"], 1) << "the same again: kept";
  plan = post("/api/v1/policy/plan", kPolicy);
  EXPECT_EQ(plan.body["changes"], false);

  const auto devices = get("/api/v1/devices").body["items"];
  ASSERT_EQ(devices.size(), 3U);
  EXPECT_EQ(devices[0]["name"], "a.corp");
  EXPECT_EQ(devices[0]["state"], "pending");
  EXPECT_EQ(devices[0]["prefixes"], Json::array({"10.1.0.0/24"}));
  EXPECT_EQ(devices[0]["endpoints"], Json::array({"192.0.2.1:4500"}));
  EXPECT_EQ(devices[0]["labels"]["role"], "branch");
  EXPECT_TRUE(devices[0]["counter"].is_null());
  EXPECT_EQ(get("/api/v1/devices?label=role%3Dhub").body["items"].size(), 1U);
  expect_problem(get("/api/v1/devices?label=role"), 400, "bad-request");
  EXPECT_EQ(get("/api/v1/devices/a").body["name"], "a.corp");
  EXPECT_EQ(get("/api/v1/devices/a.corp").body["name"], "a.corp");
  expect_problem(get("/api/v1/devices/nobody"), 404, "not-found");

  const auto pairs = get("/api/v1/pairs").body["items"];
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0]["a"], "a.corp");
  EXPECT_EQ(pairs[0]["b"], "b.corp");
  EXPECT_EQ(pairs[0]["state"], "waiting-dim");
  EXPECT_EQ(get("/api/v1/pairs?device=c").body["items"].size(), 0U);
}

TEST_F(ApiTest, APolicyThatCannotBeAppliedNamesLineAndColumn) {
  const auto refused = [&](const std::string& yaml) {
    const auto plan = post("/api/v1/policy/plan", {{"yaml", yaml}});
    EXPECT_EQ(plan.status, 200U);
    EXPECT_FALSE(plan.body["errors"].empty());
    const auto applied = post("/api/v1/policy/apply", {{"yaml", yaml}});
    EXPECT_EQ(applied.status, 422U);
    EXPECT_FALSE(applied.body["errors"].empty());
    EXPECT_EQ(get("/api/v1/policy").body["version"], 0);
    return applied.body["errors"][0];
  };
  const auto unknown = refused("mesh: corp\nruels: []\n");
  EXPECT_EQ(unknown["line"], 2);
  EXPECT_NE(unknown["cure"].get<std::string>().find("rules"), std::string::npos);
  refused("mesh: other\n");
  refused(
      "mesh: corp\ndevices:\n  - {name: a, prefixes: [10.0.0.0/8]}\n"
      "  - {name: b, prefixes: [10.0.0.0/8]}\n");
  refused(
      "mesh: corp\ndevices: [{name: a}, {name: b}]\n"
      "tests: [{from: a, to: b, expect: allow}]\n");
  refused("mesh: corp\nrules: [{from: any, to: any, via: hub-1}]\n");
  expect_problem(post("/api/v1/policy/plan", Json::object()), 400, "bad-request");
}

TEST_F(ApiTest, AnExpectedVersionGuardsAgainstEachOther) {
  ASSERT_EQ(post("/api/v1/policy/apply", kPolicy).status, 200U);
  Json other = kPolicy;
  other["yaml"] = "mesh: corp\nrules: [{from: any, to: any}]\n";
  other["expect_version"] = 0;
  expect_problem(post("/api/v1/policy/apply", other), 409, "conflict");
  other["expect_version"] = 1;
  EXPECT_EQ(post("/api/v1/policy/apply", other).body["version"], 2);
  const auto back = post("/api/v1/policy/rollback", Json::object());
  ASSERT_EQ(back.status, 200U) << back.body.dump();
  EXPECT_EQ(back.body["version"], 3);
  const auto policy = get("/api/v1/policy").body;
  EXPECT_EQ(policy["yaml"], kPolicy["yaml"]);
  EXPECT_EQ(policy["history"].size(), 3U);
  EXPECT_EQ(policy["history"][2]["summary"], "rollback to 1");
  EXPECT_EQ(get("/api/v1/policy?version=2").body["yaml"], other["yaml"]);
  expect_problem(get("/api/v1/policy?version=9"), 404, "not-found");
  expect_problem(post("/api/v1/policy/rollback", {{"version", 9}}), 404, "not-found");
}

TEST_F(ApiTest, ATokenFromHereLetsADeviceJoin) {
  const auto made = post("/api/v1/tokens", {{"name", "a"}, {"ttl", "10m"}});
  ASSERT_EQ(made.status, 201U) << made.body.dump();
  const auto line = wire::parse_join_line(made.body["join_line"].get<std::string>());
  ASSERT_TRUE(line) << line.error().to_string();
  EXPECT_EQ(line->name, "a");
  EXPECT_EQ(line->mesh, "corp");
  EXPECT_EQ(line->port, mesh.controller->port());
  EXPECT_EQ(line->token, made.body["token"]);
  EXPECT_TRUE(made.body["join_line"].get<std::string>().starts_with("cygnet-agent join cyg1:"));

  auto list = get("/api/v1/tokens").body["items"];
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["id"], made.body["id"]);
  EXPECT_EQ(list[0]["state"], "valid");
  EXPECT_EQ(list.dump().find(made.body["token"].get<std::string>()), std::string::npos)
      << "the secret is shown once";
  TestDevice a(mesh.loop, line->port, "a");
  EXPECT_EQ(a.join(line->token, line->ca_fingerprint).outcome(), test::pb::EnrolReply::ISSUED);
  EXPECT_EQ(get("/api/v1/tokens").body["items"][0]["state"], "used");
  EXPECT_EQ(get("/api/v1/devices/a").body["state"], "away");
}

TEST_F(ApiTest, TokensThatMakeNoSenseAreRefused) {
  for (const Json& body :
       {Json({{"name", "Not A Label"}}), Json({{"ttl", "10"}}), Json({{"ttl", "0"}}),
        Json({{"ttl", "10000h"}}), Json({{"uses", 0}}), Json({{"uses", -1}}),
        Json({{"name", "a"}, {"uses", 2}}), Json({{"labels", "x"}}),
        Json({{"labels", {{"name", "x"}}}}), Json({{"labels", {{"role", 7}}}}),
        Json({{"nam", "a"}}), Json::array()}) {
    const auto answer = post("/api/v1/tokens", body);
    EXPECT_GE(answer.status, 400U) << body.dump();
    EXPECT_LT(answer.status, 500U) << body.dump();
    EXPECT_FALSE(answer.body.value("detail", "").empty()) << body.dump();
  }
  EXPECT_TRUE(get("/api/v1/tokens").body["items"].empty());
}

TEST_F(ApiTest, DimsRekeyRevokeEventsAndWhyFollowADevicesLife) {
  ASSERT_EQ(post("/api/v1/policy/apply", kPolicy).status, 200U);
  const auto why = [&] { return get("/api/v1/why?a=a&b=b.corp").body; };
  EXPECT_NE(why()["verdict"].get<std::string>().find("not joined"), std::string::npos);
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  ASSERT_TRUE(a->attach());
  EXPECT_NE(why()["verdict"].get<std::string>().find("no DIM"), std::string::npos);
  ASSERT_TRUE(a->publish(1, 1).accepted());
  ASSERT_TRUE(b->attach());
  ASSERT_TRUE(b->publish(1, 2).accepted());
  ASSERT_TRUE(mesh.wait([&] {
    const auto pair = mesh.controller->core().pair("a", "b");
    return pair && pair->a_acknowledged_b && pair->b_acknowledged_a;
  }));
  EXPECT_NE(why()["verdict"].get<std::string>().find("fine"), std::string::npos) << why().dump();
  const auto pair = get("/api/v1/pairs").body["items"][0];
  EXPECT_EQ(pair["state"], "ready");
  EXPECT_EQ(pair["a_counter"], "1.1");
  EXPECT_EQ(pair["b_counter"], "1.2");
  EXPECT_EQ(pair["a_acknowledged_b"], true);

  const auto dim = get("/api/v1/dims/a").body;
  EXPECT_EQ(dim["counter"], "1.1");
  EXPECT_EQ(dim["groups"], Json::array({"x25519"}));
  EXPECT_EQ(dim["proposals"], Json::array({"aes256gcm16-x25519-sha256"}));
  EXPECT_EQ(dim["dim"].get<std::string>().size(), 2 * dim["size"].get<std::size_t>());
  EXPECT_EQ(get("/api/v1/dims").body["items"].size(), 2U);
  expect_problem(get("/api/v1/dims/c"), 404, "not-found");

  const auto rekeyed = post("/api/v1/devices/a/rekey");
  EXPECT_EQ(rekeyed.status, 202U);
  EXPECT_EQ(rekeyed.body["ordered"], Json::array({"a.corp"}));
  ASSERT_TRUE(mesh.wait([&] { return a->commands.size() == 1; }));
  b->drop();
  ASSERT_TRUE(mesh.wait(
      [&] { return mesh.controller->core().device("b")->status == Core::DeviceStatus::kAway; }));
  const auto all = post("/api/v1/rekey");
  EXPECT_EQ(all.body["ordered"], Json::array({"a.corp"}));
  EXPECT_EQ(all.body["deferred"], Json::array({"b.corp"}));
  expect_problem(post("/api/v1/devices/nobody/rekey"), 404, "not-found");

  const auto revoked = post("/api/v1/devices/b/revoke");
  ASSERT_EQ(revoked.status, 200U) << revoked.body.dump();
  EXPECT_EQ(revoked.body["revocation_number"], 1);
  EXPECT_EQ(get("/api/v1/devices/b").body["state"], "revoked");
  EXPECT_NE(why()["verdict"].get<std::string>().find("revoked"), std::string::npos);
  expect_problem(post("/api/v1/devices/nobody/revoke"), 404, "not-found");

  const auto events = get("/api/v1/events").body;
  std::vector<std::string> kinds;
  for (const auto& event : events["items"]) kinds.push_back(event["kind"]);
  for (const char* kind : {"policy.applied", "device.enrolled", "device.attached",
                           "publish.accepted", "device.revoked"}) {
    EXPECT_NE(std::find(kinds.begin(), kinds.end(), kind), kinds.end()) << kind;
  }
  const auto later = get("/api/v1/events?after=" + std::to_string(events["next"].get<int>()));
  EXPECT_TRUE(later.body["items"].empty());
  EXPECT_EQ(later.body["next"], events["next"]);
  expect_problem(get("/api/v1/events?after=x"), 400, "bad-request");
  expect_problem(get("/api/v1/why?a=a"), 400, "bad-request");
  expect_problem(get("/api/v1/why?a=a&b=nobody"), 404, "not-found");
}

TEST_F(ApiTest, WhyKnowsDeniedPairsAndTheDeviceItself) {
  ASSERT_EQ(post("/api/v1/policy/apply", kPolicy).status, 200U);
  auto answer = get("/api/v1/why?a=a&b=c").body;
  EXPECT_NE(answer["verdict"].get<std::string>().find("policy does not allow"), std::string::npos);
  EXPECT_FALSE(answer["next_step"].get<std::string>().empty());
  EXPECT_EQ(answer["steps"][0]["outcome"], "fail");
  answer = get("/api/v1/why?a=a&b=a").body;
  EXPECT_NE(answer["verdict"].get<std::string>().find("same device"), std::string::npos);
}

TEST_F(ApiTest, EveryChangeLandsInTheAuditLogWithWhoDidIt) {
  ASSERT_EQ(post("/api/v1/policy/apply", kPolicy).status, 200U);
  const auto a = mesh.joined("a");
  ASSERT_TRUE(a->attach());
  ASSERT_EQ(post("/api/v1/devices/a/rekey").status, 202U);
  ASSERT_EQ(post("/api/v1/devices/a/revoke").status, 200U);
  ASSERT_EQ(post("/api/v1/tokens", {{"name", "d"}}).status, 201U);
  std::promise<Result<std::vector<store::AuditRecord>>> promise;
  mesh.store().read_audit({mesh.mesh_id, 0, 100, false},
                          [&](auto records) { promise.set_value(std::move(records)); });
  const auto records = promise.get_future().get();
  ASSERT_TRUE(records);
  std::map<std::string, std::string> who;
  for (const auto& record : *records) who[record.action] = record.who;
  const std::string me = "(uid " + std::to_string(getuid()) + ", pid " + std::to_string(getpid());
  for (const char* action : {"policy.apply", "device.rekey", "device.revoke", "token.create"}) {
    EXPECT_NE(who[action].find(me), std::string::npos) << action << " by " << who[action];
  }
  EXPECT_EQ(who["device.enrol"], "device:a.corp");
}

TEST_F(ApiTest, TestVerbsAreNotThereWithoutTheirSwitch) {
  expect_problem(post("/api/v1/test/hold-relay"), 404, "not-found");
  mesh.options.test_verbs = true;
  server_.reset();
  api_.reset();
  mesh.restart();
  serve();
  EXPECT_EQ(post("/api/v1/test/hold-relay", {{"publishes", 2}}).status, 200U);
  EXPECT_EQ(get("/api/v1/status").body["relay_held"], true);
  EXPECT_EQ(post("/api/v1/test/release-relay").status, 200U);
  EXPECT_EQ(get("/api/v1/status").body["relay_held"], false);
}

TEST_F(ApiTest, WhatIsNoRouteOrNoJsonIsAProblem) {
  expect_problem(get("/api/v1/nothing"), 404, "not-found");
  expect_problem(call("DELETE", "/api/v1/devices"), 405, "method");
  const auto answer = post("/api/v1/policy/plan", "not an object");
  EXPECT_GE(answer.status, 400U);
  EXPECT_LT(answer.status, 500U);
}

}  // namespace
}  // namespace cygnet::controller
