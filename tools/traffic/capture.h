// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What crossed the underlay, from a capture file: ESP in UDP counted, anything that carries an
/// inner address or our own payload in clear named, and every (destination, SPI, IV) looked for
/// twice. Reads classic pcap with link types Ethernet, LINUX_SLL and LINUX_SLL2. Pure.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cygnet::traffic {

struct InnerPrefix {
  bool is_v6 = false;
  std::uint8_t address[16] = {};
  unsigned length = 0;
};
[[nodiscard]] std::optional<InnerPrefix> parse_prefix(const std::string& text);

struct CaptureOptions {
  std::vector<InnerPrefix> inner;
  std::uint16_t esp_port = 4500;
  std::vector<std::uint16_t> control_ports;  ///< TCP and UDP ports of the controller
};

struct CaptureFigures {
  std::uint64_t packets = 0;
  std::uint64_t esp = 0;
  std::uint64_t cleartext = 0;
  std::uint64_t iv_repeats = 0;
  std::map<std::string, std::uint64_t> by_kind;
  std::vector<std::string> examples;  ///< the first few clear or unexplained packets, in words
};

/// nullopt when the file is not a capture this reads. A torn last packet is left out.
[[nodiscard]] std::optional<CaptureFigures> analyse_capture(const std::string& path,
                                                            const CaptureOptions& options);

}  // namespace cygnet::traffic
