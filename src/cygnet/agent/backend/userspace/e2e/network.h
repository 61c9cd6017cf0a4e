// SPDX-License-Identifier: Apache-2.0
#pragma once

/// For the end-to-end tests: network namespaces that exist only as long as this process holds them,
/// and tools to work inside one. Needs root.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/common/fd.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace::e2e {

/// A network namespace, with loopback up. Goes when the object goes, whatever was made inside.
class Namespace {
 public:
  Namespace();
  /// Runs `work` on a thread of its own inside the namespace and waits for it.
  void run(const std::function<void()>& work) const;
  /// Runs a shell command inside; aborts the test when it fails.
  void shell(const std::string& command) const;
  /// Its standard output, whatever the exit code.
  [[nodiscard]] std::string output(const std::string& command) const;
  /// "/proc/<pid>/fd/<n>", as `ip link … netns` takes it.
  [[nodiscard]] std::string path() const;

 private:
  Fd fd_;
};

/// Joins two namespaces by a virtual cable: device `name_a` in a, `name_b` in b, both up.
void connect(const Namespace& a, const std::string& name_a, const Namespace& b,
             const std::string& name_b);

/// A UDP socket inside a namespace, for test traffic and for packets made by hand.
class Socket {
 public:
  /// @param mark  firewall mark; 0 for none.
  Socket(const Namespace& ns, const std::string& address, std::uint16_t port,
         std::uint32_t mark = 0);
  void send(const std::string& address, std::uint16_t port, ByteView payload);
  /// The next datagram, or nullopt after `deadline`.
  [[nodiscard]] std::optional<Bytes> receive(
      std::chrono::milliseconds deadline = std::chrono::seconds(5));
  /// The next datagram with the traffic class it came with; want_tos first.
  [[nodiscard]] std::optional<std::pair<Bytes, std::uint8_t>> receive_with_tos();
  void want_tos();
  void set_tos(int value);
  /// errno of a send that the kernel refuses; 0 when it is taken.
  [[nodiscard]] int try_send(const std::string& address, std::uint16_t port, ByteView payload);

 private:
  Fd fd_;
  bool v6_;
};

/// Waits until `condition` holds. @return false after `deadline`.
[[nodiscard]] bool eventually(const std::function<bool()>& condition,
                              std::chrono::milliseconds deadline = std::chrono::seconds(10));

[[nodiscard]] IpAddress ip(const std::string& text);
[[nodiscard]] IpPrefix net(const std::string& text);
[[nodiscard]] UdpEndpoint at(const std::string& address, std::uint16_t port,
                             std::uint32_t scope_id = 0);

}  // namespace cygnet::agent::userspace::e2e
