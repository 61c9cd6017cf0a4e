// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/prefix.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "cygnet/base/in_quotes.h"
#include "cygnet/controller/policy/ip_text.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::controller::policy {
namespace {

using Address = std::array<std::uint8_t, 16>;

unsigned width_of(Family family) { return family == Family::kIpv4 ? 32 : 128; }

Address masked(Address address, unsigned length) {
  for (unsigned octet = 0; octet < 16; ++octet) {
    const unsigned bits = length > octet * 8 ? std::min(8U, length - octet * 8) : 0;
    address[octet] &= static_cast<std::uint8_t>(0xff00U >> bits);
  }
  return address;
}

/// Networks that nobody can own, with the word for it.
struct Reserved {
  IpPrefix net;
  std::string_view word;
};

const std::array<Reserved, 9>& reserved() {
  constexpr auto v4 = [](std::uint8_t a, std::uint8_t b, std::uint8_t length) {
    IpPrefix p{Family::kIpv4, {}, length};
    p.address[0] = a;
    p.address[1] = b;
    return p;
  };
  constexpr auto v6 = [](std::uint8_t a, std::uint8_t b, std::uint8_t length) {
    IpPrefix p{Family::kIpv6, {}, length};
    p.address[0] = a;
    p.address[1] = b;
    return p;
  };
  static const std::array<Reserved, 9> list = [&] {
    IpPrefix loopback6{Family::kIpv6, {}, 128};
    loopback6.address[15] = 1;
    IpPrefix mapped{Family::kIpv6, {}, 96};
    mapped.address[10] = 0xff;
    mapped.address[11] = 0xff;
    return std::array<Reserved, 9>{{{v4(224, 0, 4), "multicast"},
                                    {v4(127, 0, 8), "loopback"},
                                    {v4(169, 254, 16), "link-local"},
                                    {IpPrefix{Family::kIpv4, {}, 32}, "the unspecified address"},
                                    {v6(0xff, 0, 8), "multicast"},
                                    {loopback6, "loopback"},
                                    {v6(0xfe, 0x80, 10), "link-local"},
                                    {mapped, "IPv4-mapped"},
                                    {IpPrefix{Family::kIpv6, {}, 128}, "the unspecified address"}}};
  }();
  return list;
}

}  // namespace

bool IpPrefix::contains(const IpPrefix& other) const {
  return family == other.family && length <= other.length &&
         masked(other.address, length) == address;
}

Result<IpPrefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  IpPrefix prefix;
  if (auto v4 = parse_ipv4(host)) {
    prefix.address = *v4;
  } else if (auto v6 = parse_ipv6(host)) {
    prefix.family = Family::kIpv6;
    prefix.address = *v6;
  } else {
    return fail(kErrPrefix, in_quotes(text) + " is no IP prefix", {},
                "write an address and a length, such as 10.4.17.0/24 or \"fd00:4:17::/48\"");
  }
  const unsigned width = width_of(prefix.family);
  unsigned length = width;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), length);
    if (digits.empty() || error != std::errc{} || end != digits.end() || length > width ||
        (digits.size() > 1 && digits[0] == '0')) {
      return fail(kErrPrefix,
                  in_quotes(text) + " has no length from 0 to " + std::to_string(width));
    }
  }
  prefix.length = static_cast<std::uint8_t>(length);
  const IpPrefix network{prefix.family, masked(prefix.address, length), prefix.length};
  if (network != prefix) {
    return fail(kErrPrefix, in_quotes(text) + " has host bits set", {},
                "write " + to_string(network) + ", or leave out the length for one host");
  }
  for (const Reserved& entry : reserved()) {
    if (entry.net.contains(prefix)) {
      return fail(kErrPrefix, in_quotes(text) + " is " + std::string(entry.word) +
                                  " and cannot belong to a device");
    }
  }
  return prefix;
}

std::string to_string(const IpPrefix& prefix) {
  return (prefix.family == Family::kIpv4 ? format_ipv4(prefix.address)
                                         : proto::address_text(prefix.address)) +
         "/" + std::to_string(prefix.length);
}

Result<IpEndpoint> parse_endpoint(std::string_view text) {
  const auto refuse = [&](std::string why) {
    return fail(kErrEndpoint, in_quotes(text) + " is no endpoint: " + std::move(why), {},
                "write an address and a UDP port, such as \"198.51.100.17:4500\" or "
                "\"[2001:db8::17]:4500\"");
  };
  IpEndpoint endpoint;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find("]:");
    if (close == std::string_view::npos) return refuse("no port after the address in brackets");
    const auto address = parse_ipv6(text.substr(1, close - 1));
    if (!address) return refuse("what stands in brackets is no IPv6 address");
    endpoint.family = Family::kIpv6;
    endpoint.address = *address;
    port = text.substr(close + 2);
  } else {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) return refuse("it has no port");
    if (text.find(':', colon + 1) != std::string_view::npos) {
      return refuse("an IPv6 address stands in brackets");
    }
    const auto address = parse_ipv4(text.substr(0, colon));
    if (!address) return refuse("the address is no IPv4 address (host names are not resolved)");
    endpoint.address = *address;
    port = text.substr(colon + 1);
  }
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.begin(), port.end(), number);
  if (port.empty() || error != std::errc{} || end != port.end() || number == 0 || number > 65535) {
    return refuse("the port is no number from 1 to 65535");
  }
  endpoint.port = static_cast<std::uint16_t>(number);
  const IpPrefix host{endpoint.family, endpoint.address,
                      static_cast<std::uint8_t>(width_of(endpoint.family))};
  for (const Reserved& entry : reserved()) {
    // Loopback and link-local are where two devices on one host or link may well meet.
    if ((entry.word == "multicast" || entry.word == "the unspecified address" ||
         entry.word == "IPv4-mapped") &&
        entry.net.contains(host)) {
      return refuse("the address is " + std::string(entry.word));
    }
  }
  return endpoint;
}

std::string to_string(const IpEndpoint& endpoint) {
  const std::string port = ":" + std::to_string(endpoint.port);
  return endpoint.family == Family::kIpv4
             ? format_ipv4(endpoint.address) + port
             : "[" + proto::address_text(endpoint.address) + "]" + port;
}

}  // namespace cygnet::controller::policy

std::size_t std::hash<cygnet::controller::policy::IpPrefix>::operator()(
    const cygnet::controller::policy::IpPrefix& prefix) const noexcept {
  std::uint64_t state = 0xcbf29ce484222325U ^ prefix.length;
  for (const std::uint8_t octet : prefix.octets()) state = (state ^ octet) * 0x100000001b3U;
  return static_cast<std::size_t>(state);
}
