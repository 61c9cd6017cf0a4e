// SPDX-License-Identifier: Apache-2.0
// What the relay is measured beside: the same octets to the same number of receivers, by bare TLS
// records and by a NATS server. One process sends (or the NATS server does), a child receives.
//
//   fanout_bench tls  --sessions N --message OCTETS --messages M
//   fanout_bench nats --sessions N --message OCTETS --messages M --port PORT --server PID
//
// Prints one line of JSON: seconds from the first octet sent until the last one was read, and the
// sender's and the receivers' processor time.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kRecord = 16384;
using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  ERR_print_errors_fp(stderr);
  std::_Exit(1);
}
void check(bool good, const char* what) {
  if (!good) die(what);
}

struct Options {
  std::string mode;
  std::size_t sessions = 100;
  std::size_t message = 900;
  std::size_t messages = 1000;
  int port = 4222;
  int server = 0;
};

double cpu_of(const rusage& u) {
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
double own_cpu() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return cpu_of(u);
}
double cpu_of_process(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(stat, line);
  const std::size_t end = line.rfind(')');
  if (end == std::string::npos) return 0;
  std::istringstream fields(line.substr(end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

void nonblocking(int fd) { check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl"); }
void no_delay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}
sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}
int connect_to(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port);
  check(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect");
  no_delay(fd);
  return fd;
}
int watch(const std::vector<int>& fds, std::uint32_t events) {
  const int epoll = epoll_create1(0);
  for (std::size_t i = 0; i < fds.size(); ++i) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = i;
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) == 0, "epoll_ctl");
  }
  return epoll;
}

void told(const Options& o, double seconds, double sender, double receivers) {
  std::printf(
      "{\"mode\":\"%s\",\"sessions\":%zu,\"deliveries\":%zu,\"seconds\":%.6f,\"sender_cpu\":%.3f,"
      "\"receiver_cpu\":%.3f}\n",
      o.mode.c_str(), o.sessions, o.sessions * o.messages, seconds, sender, receivers);
}

// ---- Bare TLS.

void make_server_identity(SSL_CTX* context) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* leaf = X509_new();
  check(key != nullptr && leaf != nullptr, "key");
  ASN1_INTEGER_set(X509_get_serialNumber(leaf), 1);
  X509_gmtime_adj(X509_getm_notBefore(leaf), -3600);
  X509_gmtime_adj(X509_getm_notAfter(leaf), 3600);
  X509_set_pubkey(leaf, key);
  X509_NAME* name = X509_get_subject_name(leaf);
  const auto* text = reinterpret_cast<const unsigned char*>("bench");
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
  X509_set_issuer_name(leaf, name);
  check(X509_sign(leaf, key, EVP_sha256()) > 0, "sign");
  check(SSL_CTX_use_certificate(context, leaf) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1,
        "identity");
}

SSL_CTX* context_of(const SSL_METHOD* method) {
  SSL_CTX* context = SSL_CTX_new(method);
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  // The suite that a device and its controller agree on first.
  SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384");
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

/// Reads until every session has had `octets`, then says so.
[[noreturn]] void receive_tls(const Options& o, int port, int report, std::size_t octets) {
  SSL_CTX* context = context_of(TLS_client_method());
  std::vector<int> fds;
  std::vector<SSL*> sessions;
  for (std::size_t i = 0; i < o.sessions; ++i) {
    fds.push_back(connect_to(port));
    sessions.push_back(SSL_new(context));
    SSL_set_fd(sessions.back(), fds.back());
    check(SSL_connect(sessions.back()) == 1, "SSL_connect");
    nonblocking(fds.back());
  }
  const int epoll = watch(fds, EPOLLIN);
  const double before = own_cpu();
  std::uint64_t left = std::uint64_t{octets} * o.sessions;
  std::array<char, kRecord> room{};
  std::array<epoll_event, 256> events{};
  while (left > 0) {
    const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      SSL* session = sessions[events[static_cast<std::size_t>(i)].data.u64];
      int got = 0;
      while ((got = SSL_read(session, room.data(), room.size())) > 0) {
        left -= static_cast<std::uint64_t>(got);
      }
    }
  }
  const double used = own_cpu() - before;
  check(write(report, &used, sizeof used) == sizeof used, "report");
  std::_Exit(0);
}

int bench_tls(const Options& o) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = loopback(0);
  check(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
  check(listen(listener, 1024) == 0, "listen");
  socklen_t size = sizeof address;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::array<int, 2> report{};
  check(pipe(report.data()) == 0, "pipe");
  const std::size_t octets = o.message * o.messages;
  if (fork() == 0) receive_tls(o, ntohs(address.sin_port), report[1], octets);

  SSL_CTX* context = context_of(TLS_server_method());
  make_server_identity(context);
  struct Session {
    SSL* ssl;
    std::size_t left;
  };
  std::vector<int> fds;
  std::vector<Session> sessions;
  for (std::size_t i = 0; i < o.sessions; ++i) {
    fds.push_back(accept(listener, nullptr, nullptr));
    check(fds.back() >= 0, "accept");
    no_delay(fds.back());
    sessions.push_back({SSL_new(context), octets});
    SSL_set_fd(sessions.back().ssl, fds.back());
    check(SSL_accept(sessions.back().ssl) == 1, "SSL_accept");
    nonblocking(fds.back());
  }
  const std::vector<char> record(kRecord, 'x');
  const int epoll = watch(fds, EPOLLOUT);
  std::array<epoll_event, 256> events{};
  const double cpu = own_cpu();
  const auto begun = Clock::now();
  for (std::size_t open = o.sessions; open > 0;) {
    const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const std::size_t at = events[static_cast<std::size_t>(i)].data.u64;
      Session& session = sessions[at];
      // As many records as another loop would write before it looks at other streams.
      for (int turn = 0; turn < 16 && session.left > 0; ++turn) {
        const int put = SSL_write(session.ssl, record.data(),
                                  static_cast<int>(std::min(kRecord, session.left)));
        if (put <= 0) break;
        session.left -= static_cast<std::size_t>(put);
      }
      if (session.left == 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, fds[at], nullptr);
        --open;
      }
    }
  }
  const double sender = own_cpu() - cpu;
  double receivers = 0;
  check(read(report[0], &receivers, sizeof receivers) == sizeof receivers, "receiver");
  told(o, std::chrono::duration<double>(Clock::now() - begun).count(), sender, receivers);
  wait(nullptr);
  return 0;
}

// ---- NATS core.

void say(int fd, const std::string& text) {
  check(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write");
}
/// Reads (blocking) until `text` has come.
void await(int fd, const std::string& text) {
  std::string heard;
  std::array<char, 4096> room{};
  while (heard.find(text) == std::string::npos) {
    const ssize_t n = read(fd, room.data(), room.size());
    check(n > 0, "the NATS server closed the connection");
    heard.append(room.data(), static_cast<std::size_t>(n));
  }
}
int join_nats(int port, const std::string& more) {
  const int fd = connect_to(port);
  say(fd, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n" + more + "PING\r\n");
  await(fd, "PONG\r\n");
  return fd;
}

/// One subscriber's stream: messages are counted, everything else is a line.
struct Subscriber {
  std::string line;
  std::size_t skip = 0;

  std::size_t take(const char* data, std::size_t size, int fd) {
    std::size_t messages = 0;
    while (size > 0) {
      if (skip > 0) {
        const std::size_t n = std::min(skip, size);
        skip -= n;
        data += n;
        size -= n;
        if (skip == 0) ++messages;
        continue;
      }
      const auto* end = static_cast<const char*>(std::memchr(data, '\n', size));
      const std::size_t n = end == nullptr ? size : static_cast<std::size_t>(end - data) + 1;
      line.append(data, n);
      data += n;
      size -= n;
      if (end == nullptr) break;
      if (line.starts_with("MSG ")) {
        skip = std::strtoul(line.c_str() + line.rfind(' '), nullptr, 10) + 2;
      } else if (line.starts_with("PING")) {
        say(fd, "PONG\r\n");
      }
      line.clear();
    }
    return messages;
  }
};

[[noreturn]] void receive_nats(const Options& o, int ready, int report) {
  std::vector<int> fds;
  for (std::size_t i = 0; i < o.sessions; ++i) {
    fds.push_back(join_nats(o.port, "SUB dims 1\r\n"));
    nonblocking(fds.back());
  }
  const int epoll = watch(fds, EPOLLIN);
  char go = 1;
  check(write(ready, &go, 1) == 1, "ready");
  std::vector<Subscriber> subscribers(o.sessions);
  std::vector<char> room(65536);
  std::array<epoll_event, 256> events{};
  const double before = own_cpu();
  for (std::uint64_t left = std::uint64_t{o.messages} * o.sessions; left > 0;) {
    const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const std::size_t at = events[static_cast<std::size_t>(i)].data.u64;
      ssize_t got = 0;
      while ((got = read(fds[at], room.data(), room.size())) > 0) {
        left -= subscribers[at].take(room.data(), static_cast<std::size_t>(got), fds[at]);
      }
      check(got < 0 && errno == EAGAIN, "the NATS server gave up on a subscriber");
    }
  }
  const double used = own_cpu() - before;
  check(write(report, &used, sizeof used) == sizeof used, "report");
  std::_Exit(0);
}

int bench_nats(const Options& o) {
  std::array<int, 2> ready{};
  std::array<int, 2> report{};
  check(pipe(ready.data()) == 0 && pipe(report.data()) == 0, "pipe");
  if (fork() == 0) {
    close(report[0]);
    receive_nats(o, ready[1], report[1]);
  }
  close(report[1]);
  close(ready[1]);
  char go = 0;
  check(read(ready[0], &go, 1) == 1, "the subscribers");
  const int publisher = join_nats(o.port, "");
  const std::string one =
      "PUB dims " + std::to_string(o.message) + "\r\n" + std::string(o.message, 'x') + "\r\n";
  const double cpu = cpu_of_process(o.server);
  const auto begun = Clock::now();
  for (std::size_t i = 0; i < o.messages; ++i) say(publisher, one);
  double receivers = 0;
  check(read(report[0], &receivers, sizeof receivers) == sizeof receivers, "receivers");
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  told(o, seconds, cpu_of_process(o.server) - cpu, receivers);
  wait(nullptr);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  o.mode = argc > 1 ? argv[1] : "";
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const auto value = std::strtoul(argv[i + 1], nullptr, 10);
    if (name == "--sessions") o.sessions = value;
    if (name == "--message") o.message = value;
    if (name == "--messages") o.messages = value;
    if (name == "--port") o.port = static_cast<int>(value);
    if (name == "--server") o.server = static_cast<int>(value);
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (o.mode == "tls") return bench_tls(o);
  if (o.mode == "nats") return bench_nats(o);
  std::fprintf(stderr, "fanout_bench: say tls or nats\n");
  return 2;
}
