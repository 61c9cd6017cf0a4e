// SPDX-License-Identifier: Apache-2.0
// The program itself: init, start, crash at the worst moment, stop.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "cygnet/controller/driver/test_device.h"
#include "cygnet/controller/store/store_test_support.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/json.h"
#include "cygnet/wire/join_line.h"

namespace cygnet {
namespace {

using controller::test::kPatience;
using controller::test::TestDevice;
namespace pb = controller::test::pb;

/// A cygnetd of ours; killed with the object.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    std::vector<char*> argv;
    arguments.insert(arguments.begin(), CYGNETD_PATH);
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      dup2(ends[1], STDERR_FILENO);
      execv(CYGNETD_PATH, argv.data());
      _exit(127);
    }
    close(ends[1]);
    out_ = ends[0];
  }
  ~Process() {
    if (!status_) {
      kill(pid_, SIGKILL);
      (void)wait_for_exit();
    }
    close(out_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const { kill(pid_, number); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& output() const { return text_; }

  /// Reads until the text has come; false when the program ended or time is up.
  bool read_until(const std::string& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (text_.find(wanted) == std::string::npos) {
      if (!read_some(deadline)) return text_.find(wanted) != std::string::npos;
    }
    return true;
  }
  /// Reads to the end and takes the status of waitpid.
  int wait_for_exit() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (read_some(deadline)) {
    }
    int status = -1;
    if (waitpid(pid_, &status, 0) == pid_) status_ = status;
    return status;
  }
  int exit_code() {
    const int status = wait_for_exit();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// After "serving … listen=127.0.0.1:PORT".
  std::uint16_t port() {
    EXPECT_TRUE(read_until(" api=")) << text_;
    const std::string key = "listen=127.0.0.1:";
    const auto at = text_.rfind(key);
    if (at == std::string::npos) return 0;
    return static_cast<std::uint16_t>(std::stoul(text_.substr(at + key.size())));
  }

 private:
  bool read_some(std::chrono::steady_clock::time_point deadline) {
    pollfd wait{out_, POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) <= 0) return false;
    char buffer[4096];
    const ssize_t n = read(out_, buffer, sizeof buffer);
    if (n <= 0) return false;
    text_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  pid_t pid_ = -1;
  int out_ = -1;
  std::string text_;
  std::optional<int> status_;
};

/// A port below the range the kernel hands out by itself, free for TCP and UDP; processes that run
/// at the same time look in different places.
std::uint16_t choose_port() {
  static std::uint16_t next = static_cast<std::uint16_t>(20000 + (getpid() * 37) % 10000);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const std::uint16_t port = next++;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    bool free = true;
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
      free = free && bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
      close(fd);
    }
    if (free) return port;
  }
  ADD_FAILURE() << "no free port";
  return 0;
}

class Cygnetd : public testing::Test {
 protected:
  controller::store::TempDirectory directory;
  std::string state = directory.file("state");
  std::uint16_t free_port = choose_port();

  std::string init() {
    Process made({"init", "--state", state, "--mesh", "corp", "--listen", "127.0.0.1:7443"});
    EXPECT_EQ(made.exit_code(), 0) << made.output();
    return made.output();
  }
  std::vector<std::string> run_arguments() const {
    return {"run",
            "--state",
            state,
            "--listen",
            "127.0.0.1:" + std::to_string(free_port),
            "--enable-test-verbs"};
  }
  /// A call from another thread, since a test's devices live on its loop.
  rt::Json post(const std::string& target, const std::string& body) const {
    rt::HttpCall call;
    call.socket_path = state + "/cygnetd.sock";
    call.method = "POST";
    call.target = target;
    call.body = body;
    const auto reply = rt::http_call(call);
    EXPECT_TRUE(reply) << reply.error().to_string();
    if (!reply) return {};
    EXPECT_LT(reply->status, 300U) << reply->body;
    return rt::parse_json(reply->body).value_or(rt::Json());
  }
  wire::JoinLine token(const std::string& name) const {
    return *wire::parse_join_line(
        post("/api/v1/tokens", "{\"name\":\"" + name + "\"}")["join_line"].get<std::string>());
  }
};

TEST_F(Cygnetd, InitPrintsOneLineToPasteAndAgainNone) {
  const std::string first = init();
  const auto line = wire::parse_join_line(first);
  ASSERT_TRUE(line) << first;
  EXPECT_EQ(line->host, "127.0.0.1");
  EXPECT_EQ(line->port, 7443);
  const std::string again = init();
  EXPECT_EQ(again.find("cyg1:"), std::string::npos) << again;
  EXPECT_NE(again.find("already"), std::string::npos) << again;
}

TEST_F(Cygnetd, InitOnAWildcardAsksForAnAddress) {
  Process made({"init", "--state", state, "--mesh", "corp"});
  EXPECT_EQ(made.exit_code(), 1);
  EXPECT_NE(made.output().find("--advertise"), std::string::npos) << made.output();
}

TEST_F(Cygnetd, WrongUsageIsExitTwo) {
  EXPECT_EQ(Process({"init"}).exit_code(), 2);
  EXPECT_EQ(Process({"frobnicate"}).exit_code(), 2);
  EXPECT_EQ(Process({"--version"}).exit_code(), 0);
}

TEST_F(Cygnetd, WithoutInitItNamesTheCure) {
  Process daemon({"run", "--state", state});
  EXPECT_EQ(daemon.exit_code(), 1);
  EXPECT_NE(daemon.output().find("cygnetd init"), std::string::npos) << daemon.output();
}

TEST_F(Cygnetd, ConfigurationIsCheckedAndPrintedAndReadBack) {
  const std::string path = directory.file("cygnetd.yaml");
  const auto check = [&](const std::string& yaml) {
    std::ofstream(path) << yaml;
    Process run({"run", "--config", path, "--check"});
    const int code = run.exit_code();
    return std::pair{code, run.output()};
  };
  EXPECT_EQ(check("state: /x\nlisten: 127.0.0.1:1\n").first, 0);
  const auto unknown = check("state: /x\nlisen: 127.0.0.1:1\n");
  EXPECT_EQ(unknown.first, 1);
  EXPECT_NE(unknown.second.find("listen"), std::string::npos) << "names the nearest key";
  EXPECT_NE(unknown.second.find(":2:"), std::string::npos) << unknown.second;
  EXPECT_EQ(check("ca: {mode: magic}\n").first, 1);
  EXPECT_EQ(check("listen: nowhere:99999\n").first, 1);
  EXPECT_EQ(check("limits: {publishes_per_minute: 0}\n").first, 1);
  EXPECT_EQ(check("certificates: {lifetime: 30}\n").first, 1) << "a unit is needed";

  std::ofstream(path) << "limits: {publishes_per_minute: 7}\n";
  Process printed({"run", "--config", path, "--print-effective"});
  ASSERT_EQ(printed.exit_code(), 0);
  EXPECT_NE(printed.output().find("publishes_per_minute: 7"), std::string::npos);
  EXPECT_EQ(check(printed.output()).first, 0) << "what is printed is read back";
}

TEST_F(Cygnetd, ASecondOneOnTheSameStateIsRefusedAndNamesTheFirst) {
  init();
  Process first(run_arguments());
  ASSERT_NE(first.port(), 0);
  Process second(run_arguments());
  EXPECT_EQ(second.exit_code(), 1);
  EXPECT_NE(second.output().find(std::to_string(first.pid())), std::string::npos)
      << second.output();
}

TEST_F(Cygnetd, APortInUseIsRefusedByNumber) {
  init();
  Process first(run_arguments());
  const std::string port = std::to_string(first.port());
  const std::string other = directory.file("other");
  Process made({"init", "--state", other, "--mesh", "corp", "--listen", "127.0.0.1:" + port});
  ASSERT_EQ(made.exit_code(), 0);
  Process second({"run", "--state", other});
  EXPECT_EQ(second.exit_code(), 1);
  EXPECT_NE(second.output().find(port), std::string::npos) << second.output();
}

TEST_F(Cygnetd, StopsWithAGoawayAndExitZero) {
  init();
  rt::Loop loop;
  Process daemon(run_arguments());
  TestDevice a(loop, daemon.port(), "a");
  const auto line = token("a");
  ASSERT_EQ(a.join(line.token, line.ca_fingerprint).outcome(), pb::EnrolReply::ISSUED);
  ASSERT_TRUE(a.attach());
  daemon.signal(SIGTERM);
  ASSERT_TRUE(a.wait([&] { return a.closed.has_value(); }));
  ASSERT_TRUE(a.goaway);
  EXPECT_TRUE(a.goaway->reason().starts_with("shutdown: "));
  EXPECT_EQ(daemon.exit_code(), 0) << daemon.output();
}

TEST_F(Cygnetd, KilledBetweenDurableAndAcknowledgeItHasTheDimAndAcceptsItAgain) {
  init();
  rt::Loop loop;
  auto daemon = std::make_unique<Process>(run_arguments());
  TestDevice a(loop, daemon->port(), "a");
  TestDevice b(loop, daemon->port(), "b");
  for (TestDevice* device : {&a, &b}) {
    const auto line = token(device->name);
    ASSERT_EQ(device->join(line.token, line.ca_fingerprint).outcome(), pb::EnrolReply::ISSUED);
  }
  post("/api/v1/policy/apply", R"({"yaml":"mesh: corp\nrules: [{from: any, to: any}]\n"})");
  ASSERT_TRUE(a.attach());
  ASSERT_TRUE(b.attach());
  ASSERT_TRUE(a.publish(1, 1).accepted());
  post("/api/v1/test/crash-after-durable", "");
  proto::Dim dim = a.make_dim(proto::RekeyCounter(1, 2));
  const Bytes octets = a.sign(dim);
  a.publish(octets);
  ASSERT_TRUE(a.wait([&] { return a.closed && b.closed; }));
  const int status = daemon->wait_for_exit();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(a.results.size(), 1U) << "durable, and nobody was told";
  EXPECT_NE(b.peers["a.corp"].counter, proto::RekeyCounter(1, 2).to_wire());

  daemon = std::make_unique<Process>(run_arguments());
  a.set_port(daemon->port());
  b.set_port(daemon->port());
  ASSERT_TRUE(a.attach(a.cursor));
  EXPECT_EQ(a.welcome->own_dim().dim(), std::string(as_text(octets)));
  ASSERT_TRUE(b.attach(b.cursor));
  ASSERT_TRUE(
      b.wait([&] { return b.peers["a.corp"].counter == proto::RekeyCounter(1, 2).to_wire(); }));
  a.publish(octets);
  const auto again = a.await_result();
  EXPECT_TRUE(again.accepted());
  EXPECT_EQ(again.accepted_at_ms(), a.welcome->own_dim().accepted_at_ms());
}

}  // namespace
}  // namespace cygnet
