// SPDX-License-Identifier: Apache-2.0
// The command against small fake daemons on Unix sockets: what it asks, what it prints, how it
// ends.
#include "cli.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "cygnet/rt/http.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/test_directory.h"
#include "cygnet/rt/test_support.h"
#include "exit_codes.h"
#include "line_diff.h"
#include "table.h"
#include "yaml_text.h"

namespace cygnet::cli {
namespace {

using testing::Test;

/// Answers from a table; remembers what it was asked.
class FakeDaemon {
 public:
  explicit FakeDaemon(std::string path) : path_(std::move(path)) {
    std::atomic<bool> ready{false};
    thread_ = std::thread([this, &ready] {
      auto server = rt::HttpServer::listen_unix(loop_, path_);
      CYGNET_ASSERT(server.has_value());
      server_ = std::move(*server);
      server_->set_gate([this](const rt::HttpRequest& request) -> Status {
        const std::lock_guard lock(mutex_);
        std::string target = request.path;
        for (const auto& [name, value] : request.query) target += " " + name + "=" + value;
        asked_.push_back(request.method + " " + target +
                         (request.body.empty() ? "" : " " + request.body));
        return {};
      });
      for (const char* pattern : {"/api/v1/{a}", "/api/v1/{a}/{b}", "/api/v1/{a}/{b}/{c}"}) {
        for (const char* method : {"GET", "POST"}) {
          server_->on(method, pattern, [this](const rt::HttpRequest& request, rt::Responder reply) {
            answer(request, std::move(reply));
          });
        }
      }
      ready = true;
      loop_.run();
      server_.reset();
    });
    while (!ready) std::this_thread::yield();
  }
  ~FakeDaemon() {
    loop_.stop();
    thread_.join();
  }

  void on(const std::string& method_and_path, std::string body, unsigned status = 200) {
    const std::lock_guard lock(mutex_);
    answers_[method_and_path] = {status, std::move(body)};
  }
  std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  void answer(const rt::HttpRequest& request, rt::Responder reply) {
    std::pair<unsigned, std::string> found;
    {
      const std::lock_guard lock(mutex_);
      const auto at = answers_.find(request.method + " " + request.path);
      if (at == answers_.end()) {
        reply.problem(Error{rt::kErrNotFound, "the fake has nothing at " + request.path});
        return;
      }
      found = at->second;
    }
    if (found.first == 0) {
      kept_.push_back(std::move(reply));  // never answered
    } else if (found.first >= 400) {
      reply.text(found.second, "application/problem+json", found.first);
    } else {
      reply.json(found.second, found.first);
    }
  }

  std::string path_;
  rt::Loop loop_;
  std::unique_ptr<rt::HttpServer> server_;
  std::vector<rt::Responder> kept_;
  std::mutex mutex_;
  std::map<std::string, std::pair<unsigned, std::string>> answers_;
  std::vector<std::string> asked_;
  std::thread thread_;
};

struct Ran {
  int exit = -1;
  std::string out;
  std::string err;
};

constexpr std::int64_t kNowMs = 1'700'000'000'000;

class Cli : public Test {
 protected:
  Ran run(std::vector<std::string> arguments, const std::string& input = "", bool tty = false) {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    const Surroundings around{.in = in,
                              .out = out,
                              .err = err,
                              .in_is_tty = tty,
                              .out_is_tty = tty,
                              .variable = [&](const char* name) -> std::optional<std::string> {
                                const auto found = variables_.find(name);
                                if (found == variables_.end()) return std::nullopt;
                                return found->second;
                              },
                              .now = [] { return ServerTime(std::chrono::milliseconds(kNowMs)); }};
    Ran ran;
    ran.exit = run_cli(std::move(arguments), around);
    ran.out = out.str();
    ran.err = err.str();
    return ran;
  }

  std::string write(const char* name, const std::string& content) {
    const std::string path = dir_ / name;
    std::ofstream(path) << content;
    return path;
  }

  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  rt::test::TempDirectory dir_;
  std::string controller_path_ = dir_ / "cygnetd.sock";
  std::string agent_path_ = dir_ / "agent.sock";
  std::map<std::string, std::string> variables_{{"CYGNETD_SOCKET", controller_path_},
                                                {"CYGNET_AGENT_SOCKET", agent_path_}};
  FakeDaemon controller_{controller_path_};
  FakeDaemon agent_{agent_path_};
};

constexpr const char* kDevices =
    R"({"items":[{"name":"hub-1.corp","labels":{"role":"hub","region":"eu"},"state":"attached",)"
    R"("counter":"3.12","prefixes":["10.0.0.0/8"],"last_seen":1699999996000,"endpoints":[],)"
    R"("certificate_not_after":1702592000000,"acknowledged_cursor":7},)"
    R"({"name":"s.corp","labels":{},"state":"away","counter":null,"prefixes":[],)"
    R"("last_seen":null}]})";

TEST_F(Cli, JsonIsTheDaemonsAnswerUnchanged) {
  const std::string odd = R"({ "items" : [ {"z":1,  "a":1.50, "name":"\u00e9"} ] })";
  controller_.on("GET /api/v1/devices", odd);
  const Ran ran = run({"get", "devices", "-o", "json"});
  EXPECT_EQ(ran.exit, kExitOk);
  EXPECT_EQ(ran.out, odd + "\n");
  EXPECT_EQ(run({"-o", "json", "get", "devices"}).out, odd + "\n");
}

TEST_F(Cli, TablesAreAlignedAndReadable) {
  controller_.on("GET /api/v1/devices", kDevices);
  const Ran ran = run({"get", "devices"});
  EXPECT_EQ(ran.out,
            "NAME        STATE     COUNTER  LABELS              PREFIXES    LAST SEEN\n"
            "hub-1.corp  attached  3.12     role=hub,region=eu  10.0.0.0/8  4.0s ago\n"
            "s.corp      away      -        -                   -           -\n");
}

TEST_F(Cli, WideTablesHaveMoreColumns) {
  controller_.on("GET /api/v1/devices", kDevices);
  const Ran ran = run({"get", "devices", "-o", "wide"});
  EXPECT_TRUE(has(ran.out, "CERTIFICATE ENDS")) << ran.out;
  EXPECT_TRUE(has(ran.out, "in 30d 0h")) << ran.out;
}

TEST_F(Cli, YamlIsTheSameInYaml) {
  controller_.on("GET /api/v1/devices/hub-1", R"({"name":"hub-1","prefixes":["10.0.0.0/8"],)"
                                              R"("labels":{},"state":null,"on":"yes"})");
  EXPECT_EQ(run({"get", "devices", "hub-1", "-o", "yaml"}).out,
            "name: hub-1\nprefixes:\n  - \"10.0.0.0/8\"\nlabels: {}\nstate: null\n\"on\": "
            "\"yes\"\n");
}

TEST_F(Cli, ColourIsForTerminalsOnly) {
  controller_.on("GET /api/v1/devices", kDevices);
  EXPECT_FALSE(has(run({"get", "devices"}).out, "\x1b["));
  EXPECT_TRUE(has(run({"get", "devices"}, "", true).out, "\x1b[32mattached\x1b[0m"));
  EXPECT_FALSE(has(run({"--no-colour", "get", "devices"}, "", true).out, "\x1b["));
  variables_["NO_COLOR"] = "1";
  EXPECT_FALSE(has(run({"get", "devices"}, "", true).out, "\x1b["));
}

TEST_F(Cli, ANameCannotSendControlCharactersToTheTerminal) {
  controller_.on("GET /api/v1/devices", R"({"items":[{"name":"x\u001b[2J","state":"away"}]})");
  const Ran ran = run({"get", "devices"});
  EXPECT_FALSE(has(ran.out, "\x1b"));
  EXPECT_TRUE(has(ran.out, "x\\x1b[2J")) << ran.out;
}

TEST_F(Cli, EveryKindIsAskedWhereTheContractSays) {
  for (const char* path : {"devices", "pairs", "dims", "tokens", "events"}) {
    controller_.on(std::string("GET /api/v1/") + path, R"({"items":[]})");
  }
  controller_.on("GET /api/v1/policy", R"({"version":0,"yaml":"","history":[]})");
  for (const char* kind : {"devices", "pairs", "dims", "tokens", "policies", "events"}) {
    const Ran ran = run({"get", kind});
    EXPECT_EQ(ran.exit, kExitOk) << kind << ran.err;
    EXPECT_EQ(ran.out.rfind("No ", 0), 0U) << ran.out;
  }
  controller_.on("GET /api/v1/dims/a", R"({"name":"a"})");
  EXPECT_EQ(run({"get", "dims", "a"}).exit, kExitOk);
  std::ignore = run({"get", "pairs", "a"});
  std::ignore = run({"get", "policies", "3"});
  std::ignore = run({"get", "events", "--after", "9"});
  std::ignore = run({"get", "devices", "--label", "role=hub"});
  const auto asked = controller_.asked();
  const std::vector<std::string> last(asked.end() - 5, asked.end());
  EXPECT_EQ(last,
            (std::vector<std::string>{"GET /api/v1/dims/a", "GET /api/v1/pairs device=a",
                                      "GET /api/v1/policy version=3", "GET /api/v1/events after=9",
                                      "GET /api/v1/devices label=role=hub"}));
}

TEST_F(Cli, StatusCodesBecomeExitCodesAndProblemsBecomeWords) {
  struct Case {
    unsigned status;
    int exit;
  };
  for (const auto& [status, exit] :
       {Case{400, kExitError}, Case{403, kExitDenied}, Case{404, kExitNotFound},
        Case{409, kExitError}, Case{422, kExitError}, Case{500, kExitError},
        Case{503, kExitUnreachable}, Case{504, kExitTimeout}}) {
    controller_.on("GET /api/v1/devices/x",
                   R"({"detail":"no device \"x\" in mesh corp","code":"some-code",)"
                   R"("where":"devices","cure":"cygnet get devices lists them"})",
                   status);
    const Ran ran = run({"get", "devices", "x"});
    EXPECT_EQ(ran.exit, exit) << status;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err,
              "error: no device \"x\" in mesh corp (some-code)\n  at    devices\n"
              "  next  cygnet get devices lists them\n");
  }
}

TEST_F(Cli, ErrorsAreJsonWhenJsonWasAskedFor) {
  controller_.on("GET /api/v1/devices/x", R"({"detail":"no","code":"not-found"})", 404);
  const Ran ran = run({"get", "devices", "x", "-o", "json"});
  EXPECT_EQ(ran.exit, kExitNotFound);
  EXPECT_EQ(ran.err, "{\"detail\":\"no\",\"code\":\"not-found\"}\n");
  const Ran gone = run({"--socket", dir_ / "none", "get", "devices", "-o", "json"});
  EXPECT_TRUE(rt::parse_json(gone.err).has_value()) << gone.err;
}

TEST_F(Cli, AMissingDaemonIsUnreachableWithTheCure) {
  const Ran ran = run({"--socket", dir_ / "none.sock", "get", "devices"});
  EXPECT_EQ(ran.exit, kExitUnreachable);
  EXPECT_TRUE(has(ran.err, "cannot reach cygnetd: there is no socket at ")) << ran.err;
  EXPECT_TRUE(has(ran.err, "systemctl start cygnetd")) << ran.err;
  const Ran agent = run({"--agent-socket", dir_ / "none.sock", "peers"});
  EXPECT_EQ(agent.exit, kExitUnreachable);
  EXPECT_TRUE(has(agent.err, "--agent-socket")) << agent.err;
}

TEST_F(Cli, ADaemonThatStaysSilentIsATimeout) {
  controller_.on("GET /api/v1/devices", "", 0);
  const Ran ran = run({"--timeout", "30ms", "get", "devices"});
  EXPECT_EQ(ran.exit, kExitTimeout);
  EXPECT_TRUE(has(ran.err, "within 30ms")) << ran.err;
}

TEST_F(Cli, AnAnswerThatIsNoJsonIsAnError) {
  controller_.on("GET /api/v1/devices", "<html>");
  const Ran ran = run({"get", "devices"});
  EXPECT_EQ(ran.exit, kExitError);
  EXPECT_TRUE(has(ran.err, "is no JSON")) << ran.err;
}

TEST_F(Cli, SocketsComeFromOptionStateDirectoryOrVariable) {
  controller_.on("GET /api/v1/devices", R"({"items":[]})");
  variables_.erase("CYGNETD_SOCKET");
  EXPECT_EQ(run({"--socket", controller_path_, "get", "devices"}).exit, kExitOk);
  EXPECT_EQ(run({"--state", dir_.path(), "get", "devices"}).exit, kExitOk);
  EXPECT_EQ(run({"get", "devices", "--state", dir_.path()}).exit, kExitOk);
  EXPECT_EQ(run({"get", "devices"}).exit, kExitUnreachable);
}

TEST_F(Cli, UsageErrorsExitTwoAndPointSomewhere) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"gte", "devices"},
                                             {"get", "devcies"},
                                             {"get"},
                                             {"plan"},
                                             {"get", "devices", "-o", "xml"},
                                             {"--timeout", "5", "peers"},
                                             {"ping"},
                                             {"ping", "a", "-c", "0"},
                                             {"ping", "a", "--interval", "1"},
                                             {"rekey"},
                                             {"rekey", "a", "--all"},
                                             {"token", "create"},
                                             {"token", "create", "--label", "x"},
                                             {"token", "create", "--name", "a", "--ttl", "5"},
                                             {"diff", "-f", "x", "3"},
                                             {"revoke"}}) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.exit, kExitUsage) << ran.out << ran.err;
    EXPECT_TRUE(has(ran.err, "error: ")) << ran.err;
    EXPECT_TRUE(has(ran.err, "\n  next  ")) << ran.err;
  }
  EXPECT_TRUE(controller_.asked().empty());
  EXPECT_TRUE(agent_.asked().empty());
  EXPECT_EQ(run({"gte", "devices"}).err,
            "error: cygnet has no \"gte\"\n  next  did you mean \"get\"?\n");
  EXPECT_TRUE(has(run({"get", "devcies"}).err, "did you mean \"devices\"?"));
}

TEST_F(Cli, EveryCommandHasHelpWithExamples) {
  for (const auto& words : std::vector<std::vector<std::string>>{{},
                                                                 {"status"},
                                                                 {"peers"},
                                                                 {"sa"},
                                                                 {"ping"},
                                                                 {"get"},
                                                                 {"get", "devices"},
                                                                 {"get", "pairs"},
                                                                 {"get", "dims"},
                                                                 {"get", "tokens"},
                                                                 {"get", "policies"},
                                                                 {"get", "events"},
                                                                 {"describe", "device"},
                                                                 {"plan"},
                                                                 {"apply"},
                                                                 {"diff"},
                                                                 {"rollback"},
                                                                 {"token", "create"},
                                                                 {"rekey"},
                                                                 {"revoke"},
                                                                 {"why"},
                                                                 {"debug"}}) {
    auto arguments = words;
    arguments.emplace_back("--help");
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.exit, kExitOk);
    EXPECT_TRUE(has(ran.out, "Examples:\n")) << ran.out;
    EXPECT_TRUE(has(ran.out, "Exit codes:")) << ran.out;
  }
  EXPECT_EQ(run({"--version"}).exit, kExitOk);
}

// ---- Policy ----

constexpr const char* kPlan =
    R"({"changes":true,"pairs_added":[["a","b"]],"pairs_removed":[["a","c"],["b","c"]],)"
    R"("devices_touched":["a","b","c"],"tests":[{"from":"a","to":"b","expect":"allow","ok":true}],)"
    R"("errors":[]})";

TEST_F(Cli, PlanShowsChangesAndExitsTwo) {
  controller_.on("POST /api/v1/policy/plan", kPlan);
  const std::string file = write("mesh.yaml", "mesh: corp\n");
  const Ran ran = run({"plan", "-f", file});
  EXPECT_EQ(ran.exit, kExitChange);
  EXPECT_EQ(ran.out,
            "1 pair appears:\n  + a - b\n2 pairs vanish:\n  - a - c\n  - b - c\n"
            "Devices touched: 3 (a, b, c)\nTests: 1 pass\ncygnet apply -f " +
                file + " puts this in force.\n");
  EXPECT_EQ(controller_.asked().back(),
            "POST /api/v1/policy/plan {\"yaml\":\"mesh: corp\\n\","
            "\"source\":\"" +
                file + "\"}");
}

TEST_F(Cli, PlanWithoutChangesExitsZero) {
  controller_.on("POST /api/v1/policy/plan",
                 R"({"changes":false,"pairs_added":[],"pairs_removed":[],"devices_touched":[],)"
                 R"("tests":[],"errors":[]})");
  const Ran ran = run({"plan", "-f", "-"}, "mesh: corp\n");
  EXPECT_EQ(ran.exit, kExitOk);
  EXPECT_EQ(ran.out, "No changes.\n");
}

TEST_F(Cli, PlanOfARefusedDocumentNamesLineColumnAndCure) {
  controller_.on("POST /api/v1/policy/plan",
                 R"({"changes":false,"pairs_added":[],"pairs_removed":[],"devices_touched":[],)"
                 R"("tests":[],"errors":[{"line":3,"column":5,"message":"unknown key \"rulez\"",)"
                 R"("cure":"did you mean \"rules\"?"}]})");
  const std::string file = write("mesh.yaml", "x");
  const Ran ran = run({"plan", "-f", file});
  EXPECT_EQ(ran.exit, kExitError);
  EXPECT_EQ(ran.err,
            "error: " + file + ":3:5: unknown key \"rulez\"\n  next  did you mean \"rules\"?\n");
}

TEST_F(Cli, PlanWithAFailingTestIsAnError) {
  controller_.on("POST /api/v1/policy/plan",
                 R"({"changes":true,"pairs_added":[],"pairs_removed":[],"devices_touched":[],)"
                 R"("tests":[{"from":"a","to":"b","expect":"deny","ok":false,"reason":"rule 1"}],)"
                 R"("errors":[{"line":null,"column":null,"message":"a test fails","cure":""}]})");
  const Ran ran = run({"plan", "-f", "-"}, "x");
  EXPECT_EQ(ran.exit, kExitError);
  EXPECT_TRUE(has(ran.out, "fail  a to b: expected deny (rule 1)\n")) << ran.out;
  EXPECT_EQ(ran.err, "error: -: a test fails\n");
}

TEST_F(Cli, PlanOfALargeChangeIsSummedUpAndNamesSettings) {
  std::string pairs;
  for (int i = 0; i < 50; ++i)
    pairs += (i > 0 ? ",[\"a\",\"b" : "[\"a\",\"b") + std::to_string(i) + "\"]";
  controller_.on("POST /api/v1/policy/plan",
                 R"({"changes":true,"pairs_added":[)" + pairs + R"(],"pairs_added_total":1000,)" +
                     R"("settings":[{"key":"lifetime","before":"24h","after":"12h"}],)" +
                     R"("rolls_over_everyone":true})");
  const Ran ran = run({"plan", "-f", "-"}, "x");
  EXPECT_TRUE(has(ran.out, "1000 pairs appear:\n  + a - b0\n")) << ran.out;
  EXPECT_TRUE(has(ran.out,
                  "  + a - b39\n  ... and 960 more\nSetting lifetime: 24h becomes 12h\n"
                  "Every device rolls over.\n"))
      << ran.out;
}

TEST_F(Cli, ApplyOfARefusedDocumentListsEveryPlace) {
  controller_.on("POST /api/v1/policy/apply",
                 R"({"detail":"the policy has 2 errors","code":"policy","errors":[)"
                 R"({"line":3,"column":5,"message":"one","cure":"fix one"},)"
                 R"({"line":9,"column":1,"message":"two","cure":""}]})",
                 422);
  const std::string file = write("mesh.yaml", "x");
  const Ran ran = run({"apply", "-f", file, "--expect-version", "4"});
  EXPECT_EQ(ran.exit, kExitError);
  EXPECT_EQ(ran.err, "error: the policy has 2 errors (policy)\n  " + file +
                         ":3:5: one\n      fix one\n  " + file + ":9:1: two\n");
  EXPECT_TRUE(has(controller_.asked().back(), "\"expect_version\":4"));
}

TEST_F(Cli, ApplyAndRollbackSayTheVersion) {
  controller_.on("POST /api/v1/policy/apply",
                 R"({"version":5,"changes":true,"pairs_added":[["a","b"]],"pairs_removed":[]})");
  controller_.on("POST /api/v1/policy/rollback", R"({"version":6,"changes":false})");
  EXPECT_EQ(run({"apply", "-f", "-"}, "x").out,
            "1 pair appears:\n  + a - b\nPolicy version 5 is in force.\n");
  EXPECT_EQ(run({"rollback"}).out, "Policy version 6: no pair changes.\n");
  EXPECT_EQ(controller_.asked().back(), "POST /api/v1/policy/rollback {}");
  std::ignore = run({"rollback", "3"});
  EXPECT_EQ(controller_.asked().back(), "POST /api/v1/policy/rollback {\"version\":3}");
}

TEST_F(Cli, AMissingPolicyFileIsNamed) {
  const Ran ran = run({"apply", "-f", dir_ / "none.yaml"});
  EXPECT_NE(ran.exit, kExitOk);
  EXPECT_TRUE(has(ran.err, (dir_ / "none.yaml").string())) << ran.err;
}

TEST_F(Cli, DiffComparesLineByLine) {
  controller_.on("GET /api/v1/policy", R"({"version":4,"yaml":"a\nb\nc\n"})");
  const std::string same = write("same.yaml", "a\nb\nc\n");
  EXPECT_EQ(run({"diff", "-f", same}).exit, kExitOk);
  const std::string other = write("other.yaml", "a\nB\nc\n");
  const Ran ran = run({"diff", "-f", other});
  EXPECT_EQ(ran.exit, kExitChange);
  EXPECT_EQ(ran.out, "--- policy version 4\n+++ " + other + "\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
  EXPECT_TRUE(rt::parse_json(run({"diff", "-f", other, "-o", "json"}).out).has_value());
  EXPECT_EQ(run({"diff"}).exit, kExitOk);  // the fake gives the same text for version 3
  EXPECT_EQ(controller_.asked().back(), "GET /api/v1/policy version=3");
}

// ---- Fleet ----

TEST_F(Cli, TokenCreateShowsTheLineToPaste) {
  controller_.on("POST /api/v1/tokens",
                 R"({"id":"t1","token":"s","join_line":"cygnet-agent join cyg1:x/y",)"
                 R"("expires_at":1700086400000})",
                 201);
  const Ran ran = run({"token", "create", "--name", "d1", "--label", "role=hub", "--label", "x=y",
                       "--ttl", "24h", "--uses", "1"});
  EXPECT_EQ(ran.exit, kExitOk) << ran.err;
  EXPECT_EQ(ran.out,
            "Token t1 for d1, ends in 1d 0h. It is shown this once. On the device:\n\n"
            "  cygnet-agent join cyg1:x/y\n");
  EXPECT_EQ(controller_.asked().back(),
            "POST /api/v1/tokens {\"name\":\"d1\",\"labels\":{\"role\":\"hub\",\"x\":\"y\"},"
            "\"ttl\":\"24h\",\"uses\":1}");
}

TEST_F(Cli, RekeyGoesWhereItIsSent) {
  controller_.on("POST /api/v1/devices/d1/rekey", R"({"ordered":["d1"],"deferred":[]})", 202);
  controller_.on("POST /api/v1/rekey", R"({"ordered":["a"],"deferred":["b","c"]})", 202);
  agent_.on("POST /api/v1/rekey", R"({"ordered":true})", 202);
  EXPECT_EQ(run({"rekey", "d1"}).out, "Rekey ordered: d1\n");
  EXPECT_EQ(run({"rekey", "--all"}).out, "Rekey ordered: a\nAway, rekeys when it attaches: b, c\n");
  EXPECT_EQ(run({"rekey", "--agent"}).out, "Rekey ordered for this device.\n");
}

TEST_F(Cli, RevokeAsksAPersonAndNotAScript) {
  controller_.on("POST /api/v1/devices/d1/revoke", R"({"name":"d1","revocation_number":1})");
  EXPECT_EQ(run({"revoke", "d1"}, "no\n", true).exit, kExitError);
  EXPECT_TRUE(controller_.asked().empty());
  EXPECT_EQ(run({"revoke", "d1"}, "d1\n", true).exit, kExitOk);
  EXPECT_EQ(run({"revoke", "d1", "--yes"}, "", true).exit, kExitOk);
  EXPECT_EQ(run({"revoke", "d1"}).exit, kExitOk);
  EXPECT_EQ(controller_.asked().size(), 3U);
}

TEST_F(Cli, DescribeShowsTheDeviceAndItsPairs) {
  controller_.on("GET /api/v1/devices/hub-1", R"({"name":"hub-1.corp","state":"attached"})");
  controller_.on("GET /api/v1/pairs",
                 R"({"items":[{"a":"hub-1.corp","b":"s.corp","state":"ready"}]})");
  const Ran ran = run({"describe", "device", "hub-1"});
  EXPECT_TRUE(has(ran.out, "name   hub-1.corp\nstate  attached\n")) << ran.out;
  EXPECT_TRUE(has(ran.out, "s.corp")) << ran.out;
  EXPECT_EQ(run({"describe", "device", "hub-1", "-o", "json"}).out,
            "{\"name\":\"hub-1.corp\",\"state\":\"attached\"}\n");
}

TEST_F(Cli, WhyWalksTheStepsAndTellsByItsExitCode) {
  const std::string fine = R"({"a":"a.corp","b":"b.corp","verdict":"up","next_step":"","steps":[)"
                           R"({"name":"policy","outcome":"ok","text":"rule 1 allows"}]})";
  const std::string broken =
      R"({"a":"a.corp","b":"b.corp","verdict":"denied","next_step":"add a rule","steps":[)"
      R"({"name":"policy","outcome":"fail","text":"rule 2 denies"},)"
      R"({"name":"identities","outcome":"info","text":"both enrolled"}]})";
  controller_.on("GET /api/v1/why", fine);
  agent_.on("GET /api/v1/why", broken);
  const Ran up = run({"why", "a", "b"});
  EXPECT_EQ(up.exit, kExitOk);
  EXPECT_EQ(up.out, "a.corp - b.corp: up\n\n  ok    policy  rule 1 allows\n");
  EXPECT_EQ(controller_.asked().back(), "GET /api/v1/why a=a b=b");
  const Ran denied = run({"why", "b"});
  EXPECT_EQ(denied.exit, kExitDegraded);
  EXPECT_EQ(denied.out,
            "a.corp - b.corp: denied\n\n  fail  policy      rule 2 denies\n"
            "  info  identities  both enrolled\n\nNext: add a rule\n");
  EXPECT_EQ(agent_.asked().back(), "GET /api/v1/why peer=b probe=true");
}

// ---- Device ----

std::string status(const char* controller, int up) {
  return std::string(R"({"name":"d1.demo","mesh":"demo","mesh_address":"fd00::1",)") +
         R"("backend":"userspace","notes":["no UDP GSO here"],"controller":{"state":")" +
         controller +
         R"(","since":1699999880000,"address":"198.18.0.2:7443"},"generation":{"counter":"3.12",)" +
         R"("age_ms":240000,"state":"accepted"},"dh_private_values_alive":1,)" +
         R"("sa_pairs_per_peer_max":1,"peers":{"wanted":2,"up":)" + std::to_string(up) +
         R"(,"proven":1,"asleep":4},"sa_pairs":{"installed":3,"claimed":2,"derivations":9},)" +
         R"("drops":{"replay":3,"icv":0},"certificate_not_after":1702592000000})";
}

TEST_F(Cli, StatusIsASummaryForPeopleAndTheDefault) {
  agent_.on("GET /api/v1/status", status("connected", 2));
  agent_.on("GET /api/v1/peers",
            R"j({"items":[{"name":"d2.demo","state":"up","outbound":"Tx(a2-b1)","confirmed":true,)j"
            R"("last_heard_ms":1200,"key_age_ms":240000,"rx_octets":1536,"tx_octets":12,)"
            R"("endpoint":"198.18.2.2:4500"}]})");
  const Ran ran = run({});
  EXPECT_EQ(ran.exit, kExitOk) << ran.err;
  EXPECT_EQ(ran.out,
            "d1.demo in mesh demo\n\n"
            "mesh address  fd00::1\n"
            "controller    connected (198.18.0.2:7443), since 2m ago\n"
            "generation    3.12 accepted, 4m old\n"
            "certificate   ends in 30d 0h\n"
            "data plane    userspace\n"
            "              note: no UDP GSO here\n"
            "peers         2 of 2 up, 1 proven, 4 more on demand, asleep\n"
            "SA pairs      3, 2 of them claimed: keys when the first packet needs them\n"
            "drops         replay 3\n\n"
            "PEER     STATE  OUTBOUND   CONFIRMED  HEARD  KEY AGE  RECEIVED  SENT  ENDPOINT\n"
            "d2.demo  up     Tx(a2-b1)  yes        1.2s   4m        1.5 KiB  12 B  "
            "198.18.2.2:4500\n");
  EXPECT_EQ(run({"status", "-o", "json"}).out, status("connected", 2) + "\n");
}

TEST_F(Cli, StatusTellsDegradedByItsExitCode) {
  agent_.on("GET /api/v1/status", status("connected", 1));
  EXPECT_EQ(run({"status"}).exit, kExitDegraded);
  agent_.on("GET /api/v1/status", status("away", 2));
  EXPECT_EQ(run({"status", "-o", "json"}).exit, kExitDegraded);
}

TEST_F(Cli, SaAndPeersAreTables) {
  agent_.on("GET /api/v1/sa",
            R"({"items":[{"peer":"d2","pair":"a2-b1","lane":0,"spi_in":"0x00001234",)"
            R"("spi_out":"0x00005678","suite":"aes-gcm-16-256","state":"chosen",)"
            R"("keys":"claimed",)"
            R"("in":{"packets":5,"octets":100},"out":{"packets":123,"octets":200},)"
            R"("expires_in_ms":86400000}]})");
  const Ran ran = run({"sa"});
  EXPECT_EQ(ran.out,
            "PEER  PAIR   LANE  STATE   KEYS     SPI IN      SPI OUT     IN  OUT  SUITE           "
            "EXPIRES IN\n"
            "d2    a2-b1     0  chosen  claimed  0x00001234  0x00005678   5  123  aes-gcm-16-256  "
            "1d 0h\n");
  agent_.on("GET /api/v1/peers", R"({"items":[]})");
  EXPECT_TRUE(has(run({"peers"}).out, "No peers"));
}

TEST_F(Cli, PingSummarisesAndTellsSilenceByItsExitCode) {
  agent_.on("POST /api/v1/ping",
            R"({"peer":"d2.demo","sent":3,"received":2,"rtt_ms":[1.5,null,2.5]})");
  const Ran ran = run({"ping", "d2", "-c", "3", "--interval", "10ms", "--lane", "1"});
  EXPECT_EQ(ran.exit, kExitOk);
  EXPECT_EQ(ran.out,
            "d2 lane 1 probe 1: 1.50 ms\nd2 lane 1 probe 2: no answer\nd2 lane 1 probe 3: 2.50 "
            "ms\n3 sent, 2 answered, round trip least 1.50 ms, mean 2.00 ms, most 2.50 ms\n");
  EXPECT_EQ(agent_.asked().back(),
            "POST /api/v1/ping {\"peer\":\"d2\",\"count\":3,\"interval_ms\":10,\"lane\":1}");
  agent_.on("POST /api/v1/ping", R"({"sent":1,"received":0,"rtt_ms":[null]})");
  EXPECT_EQ(run({"ping", "d2", "-c", "1"}).exit, kExitTimeout);
}

TEST_F(Cli, DebugVerbsGetTheirArgumentsAndStreams) {
  const Ran refused = run({"debug", "no-such-verb"}, "{}");
  EXPECT_EQ(refused.exit, kExitUsage);
  EXPECT_TRUE(has(refused.out, "\"error\"")) << refused.out << refused.err;
}

// ---- Pure parts ----

TEST(LineDiff, HunksAreApartWhenChangesAreFarApart) {
  std::string before;
  std::string after;
  for (int i = 0; i < 30; ++i) {
    before += std::to_string(i) + "\n";
    after += (i == 2 || i == 25 ? "x" : std::to_string(i)) + "\n";
  }
  EXPECT_EQ(line_diff(before, after, "a", "b"),
            "--- a\n+++ b\n@@ -1,6 +1,6 @@\n 0\n 1\n-2\n+x\n 3\n 4\n 5\n"
            "@@ -23,7 +23,7 @@\n 22\n 23\n 24\n-25\n+x\n 26\n 27\n 28\n");
}

TEST(LineDiff, AddedAndRemovedEnds) {
  EXPECT_EQ(line_diff("", "a\n", "x", "y"), "--- x\n+++ y\n@@ -0,0 +1,1 @@\n+a\n");
  EXPECT_EQ(line_diff("a\nb\n", "a\n", "x", "y"), "--- x\n+++ y\n@@ -1,2 +1,1 @@\n a\n-b\n");
  EXPECT_EQ(line_diff("a\n", "a\n", "x", "y"), "");
}

TEST(Yaml, NestedListsAndMapsIndent) {
  const auto json = rt::parse_json(R"({"items":[{"a":1,"b":[1,{"c":"x: y"}]},[]],"e":{}})");
  EXPECT_EQ(to_yaml(*json),
            "items:\n  - a: 1\n    b:\n      - 1\n      - c: \"x: y\"\n  - []\ne: {}\n");
}

TEST(Table, LongCellsAreCutUnlessWide) {
  rt::Json items = rt::Json::array({{{"name", std::string(100, 'x')}}});
  const std::vector<Column> columns{{"NAME", "name"}};
  EXPECT_EQ(render_table(columns, items, false, {}, ""), "NAME\n" + std::string(57, 'x') + "...\n");
  EXPECT_EQ(render_table(columns, items, true, {}, ""), "NAME\n" + std::string(100, 'x') + "\n");
}

TEST(Table, WidthCountsCharactersNotOctets) {
  const auto items = rt::parse_json(R"([{"a":"é","b":"x"},{"a":"ab","b":"y"}])");
  EXPECT_EQ(render_table({{"A", "a"}, {"B", "b"}}, *items, false, {}, ""), "A   B\né   x\nab  y\n");
}

}  // namespace
}  // namespace cygnet::cli
