// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One measuring endpoint: sends numbered UDP datagrams to every other at a steady rate, keeps one
/// rate-limited TCP flow a pair (the lower number connects), and logs each datagram sent and
/// received. Runs until SIGTERM or SIGINT.

#include <cstdint>
#include <string>
#include <vector>

namespace cygnet::traffic {

inline constexpr char kMagic[4] = {'C', 'Y', 'G', 'T'};

struct PeerTarget {
  std::uint8_t number = 0;
  std::string address;  ///< IPv4 or IPv6, inside the tunnel
  std::string local;    ///< our address towards it, same family
};

struct RunOptions {
  std::uint8_t self = 0;
  std::vector<PeerTarget> peers;
  double rate = 200;  ///< datagrams a second and direction
  std::uint16_t port = 9000;
  std::size_t payload = 64;
  double tcp_mbit = 1;  ///< 0: no TCP flow
  std::string log_path;
  std::string summary_path;  ///< JSON about the TCP flows, written at the end
};

/// @return a process exit code; says on standard error what failed.
int run(const RunOptions& options);

}  // namespace cygnet::traffic
