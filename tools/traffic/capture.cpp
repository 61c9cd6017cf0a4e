// SPDX-License-Identifier: Apache-2.0
#include "traffic/capture.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string_view>
#include <unordered_set>

#include "traffic/run.h"

namespace cygnet::traffic {
namespace {

using View = std::basic_string_view<std::uint8_t>;

constexpr std::uint32_t kLinkEthernet = 1;
constexpr std::uint32_t kLinkSll = 113;
constexpr std::uint32_t kLinkSll2 = 276;

std::uint16_t be16(const std::uint8_t* p) { return static_cast<std::uint16_t>(p[0] << 8 | p[1]); }

bool inside(const InnerPrefix& prefix, bool is_v6, const std::uint8_t* address) {
  if (prefix.is_v6 != is_v6) return false;
  for (unsigned bit = 0; bit < prefix.length; ++bit) {
    const unsigned mask = 0x80U >> (bit % 8);
    if ((prefix.address[bit / 8] & mask) != (address[bit / 8] & mask)) return false;
  }
  return true;
}

class Reader {
 public:
  Reader(const CaptureOptions& options, CaptureFigures& out) : options_(options), out_(out) {}

  void packet(std::uint32_t link, View frame) {
    ++out_.packets;
    std::uint16_t type = 0;
    std::size_t at = 0;
    if (link == kLinkSll2 && frame.size() >= 20) {
      type = be16(frame.data());
      at = 20;
    } else if (link == kLinkSll && frame.size() >= 16) {
      type = be16(frame.data() + 14);
      at = 16;
    } else if (link == kLinkEthernet && frame.size() >= 14) {
      type = be16(frame.data() + 12);
      at = 14;
    } else {
      return count("short-frame", {});
    }
    const View body = frame.substr(at);
    if (type == 0x0806) return count("arp", {});
    if (type == 0x0800) return ipv4(body);
    if (type == 0x86dd) return ipv6(body);
    odd("ethertype-" + std::to_string(type));
  }

 private:
  void count(const std::string& kind, const std::string& example) {
    ++out_.by_kind[kind];
    if (!example.empty() && out_.examples.size() < 10) out_.examples.push_back(example);
  }
  void odd(const std::string& what) { count("unexplained", what); }
  void clear(const std::string& what) {
    ++out_.cleartext;
    count("cleartext", what);
  }

  [[nodiscard]] bool is_inner(bool v6, const std::uint8_t* address) const {
    return std::any_of(options_.inner.begin(), options_.inner.end(),
                       [&](const InnerPrefix& p) { return inside(p, v6, address); });
  }

  static std::string text(bool v6, const std::uint8_t* address) {
    char buffer[INET6_ADDRSTRLEN] = {};
    inet_ntop(v6 ? AF_INET6 : AF_INET, address, buffer, sizeof buffer);
    return buffer;
  }

  void ipv4(View ip) {
    if (ip.size() < 20) return count("short-frame", {});
    const std::size_t header = (ip[0] & 15U) * 4U;
    if (is_inner(false, &ip[12]) || is_inner(false, &ip[16])) {
      return clear("inner address in clear: " + text(false, &ip[12]) + " > " +
                   text(false, &ip[16]));
    }
    if (ip.size() < header) return count("short-frame", {});
    upper(ip[9], ip.substr(header), std::string(ip.begin() + 16, ip.begin() + 20),
          text(false, &ip[12]) + " > " + text(false, &ip[16]));
  }

  void ipv6(View ip) {
    if (ip.size() < 40) return count("short-frame", {});
    if (is_inner(true, &ip[8]) || is_inner(true, &ip[24])) {
      return clear("inner address in clear: " + text(true, &ip[8]) + " > " + text(true, &ip[24]));
    }
    std::uint8_t next = ip[6];
    View rest = ip.substr(40);
    if (next == 0 && rest.size() >= 8) {  // hop-by-hop options in front of MLD
      next = rest[0];
      rest = rest.substr(std::min(rest.size(), static_cast<std::size_t>(8 + rest[1] * 8)));
    }
    upper(next, rest, std::string(ip.begin() + 24, ip.begin() + 40),
          text(true, &ip[8]) + " > " + text(true, &ip[24]));
  }

  void upper(std::uint8_t protocol, View body, const std::string& destination,
             const std::string& who) {
    if (protocol == 50) return esp(body, destination);
    if (protocol == 58) return count("icmpv6", {});
    if (protocol == 1) return count("icmp", {});
    if (protocol != 6 && protocol != 17) {
      return odd("protocol " + std::to_string(protocol) + " " + who);
    }
    if (body.size() < 8) return count("short-frame", {});
    const std::uint16_t source_port = be16(body.data());
    const std::uint16_t port = be16(body.data() + 2);
    const auto control = [&](std::uint16_t p) {
      return std::find(options_.control_ports.begin(), options_.control_ports.end(), p) !=
             options_.control_ports.end();
    };
    if (control(source_port) || control(port)) {
      return count(protocol == 6 ? "controller-tls" : "discovery", {});
    }
    const View payload = body.substr(8);
    if (protocol == 17 && payload.size() >= 4 &&
        std::memcmp(payload.data(), kMagic, sizeof kMagic) == 0) {
      return clear("measuring datagram in clear: " + who);
    }
    if (protocol == 17 && (source_port == options_.esp_port || port == options_.esp_port)) {
      if (be16(body.data() + 4) == 9) return count("nat-keepalive", {});
      if (payload.size() >= 4 && std::all_of(payload.begin(), payload.begin() + 4,
                                             [](std::uint8_t octet) { return octet == 0; })) {
        return count("non-esp-marker", {});
      }
      return esp(payload, destination);
    }
    odd((protocol == 6 ? "TCP " : "UDP ") + who + " port " + std::to_string(port));
  }

  void esp(View packet, const std::string& destination) {
    ++out_.esp;
    count("esp", {});
    if (packet.size() < 16) return;
    // SPI and the IV behind the sequence number: with the destination they name the key and the
    // IV, which must never come twice (RFC 4106 section 3.1).
    std::string key = destination;
    key.append(packet.begin(), packet.begin() + 4);
    key.append(packet.begin() + 8, packet.begin() + 16);
    if (!seen_.insert(key).second) {
      ++out_.iv_repeats;
      count("iv-repeat", "SPI and IV seen twice");
    }
  }

  const CaptureOptions& options_;
  CaptureFigures& out_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

std::optional<InnerPrefix> parse_prefix(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  InnerPrefix out;
  const std::string address = text.substr(0, slash);
  out.is_v6 = address.find(':') != std::string::npos;
  if (inet_pton(out.is_v6 ? AF_INET6 : AF_INET, address.c_str(), out.address) != 1) {
    return std::nullopt;
  }
  out.length = static_cast<unsigned>(std::strtoul(text.c_str() + slash + 1, nullptr, 10));
  if (out.length > (out.is_v6 ? 128U : 32U)) return std::nullopt;
  return out;
}

std::optional<CaptureFigures> analyse_capture(const std::string& path,
                                              const CaptureOptions& options) {
  std::ifstream in(path, std::ios::binary);
  std::uint32_t header[6] = {};
  if (!in.read(reinterpret_cast<char*>(header), sizeof header)) return std::nullopt;
  if (header[0] != 0xa1b2c3d4U && header[0] != 0xa1b23c4dU) return std::nullopt;
  const std::uint32_t link = header[5];
  CaptureFigures out;
  Reader reader(options, out);
  std::uint32_t record[4] = {};
  std::vector<std::uint8_t> frame;
  while (in.read(reinterpret_cast<char*>(record), sizeof record)) {
    if (record[2] > 1U << 20) return std::nullopt;
    frame.resize(record[2]);
    if (!in.read(reinterpret_cast<char*>(frame.data()),
                 static_cast<std::streamsize>(frame.size()))) {
      break;
    }
    reader.packet(link, View(frame.data(), frame.size()));
  }
  return out;
}

}  // namespace cygnet::traffic
