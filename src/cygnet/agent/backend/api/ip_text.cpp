// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/api/ip_text.h"

#include <arpa/inet.h>

#include <charconv>

namespace cygnet::agent {

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(address.is_v6 ? AF_INET6 : AF_INET, address.octets.data(), text, sizeof text);
  return text;
}

std::string to_string(const IpPrefix& prefix) {
  return to_string(prefix.address) + "/" + std::to_string(prefix.length);
}

std::string to_string(const UdpEndpoint& endpoint) {
  const std::string port = ":" + std::to_string(endpoint.port);
  if (!endpoint.address.is_v6) return to_string(endpoint.address) + port;
  const std::string scope =
      endpoint.scope_id == 0 ? std::string() : "%" + std::to_string(endpoint.scope_id);
  return "[" + to_string(endpoint.address) + scope + "]" + port;
}

Result<IpAddress> parse_ip_address(std::string_view text) {
  const std::string terminated(text);
  IpAddress address;
  if (inet_pton(AF_INET, terminated.c_str(), address.octets.data()) == 1) return address;
  address.is_v6 = true;
  if (inet_pton(AF_INET6, terminated.c_str(), address.octets.data()) == 1) return address;
  return fail(kErrAddressText, "'" + terminated + "' is no IPv4 or IPv6 address", {},
              "write it as 192.0.2.1 or 2001:db8::1");
}

Result<IpPrefix> parse_ip_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  CYGNET_TRY(const IpAddress address, parse_ip_address(text.substr(0, slash)));
  IpPrefix prefix{address, address_bits(address)};
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), prefix.length);
    if (error != std::errc() || end != digits.data() + digits.size() ||
        prefix.length > address_bits(address)) {
      return fail(kErrAddressText, "'" + std::string(text) + "' has no valid prefix length", {},
                  "write it as 192.0.2.0/24 or 2001:db8::/32");
    }
  }
  if (masked(prefix) != prefix) {
    return fail(kErrAddressText, "'" + std::string(text) + "' has bits set behind its length", {},
                "write " + to_string(masked(prefix)));
  }
  return prefix;
}

IpPrefix masked(IpPrefix prefix) {
  for (std::size_t i = 0; i < prefix.address.octets.size(); ++i) {
    const std::size_t first_bit = i * 8;
    if (first_bit >= prefix.length) {
      prefix.address.octets[i] = 0;
    } else if (prefix.length - first_bit < 8) {
      const auto mask = static_cast<std::uint8_t>(0xff00U >> (prefix.length - first_bit));
      prefix.address.octets[i] = static_cast<std::uint8_t>(prefix.address.octets[i] & mask);
    }
  }
  return prefix;
}

bool contains(const IpPrefix& prefix, const IpAddress& address) {
  return prefix.address.is_v6 == address.is_v6 &&
         masked({address, prefix.length}).address == masked(prefix).address;
}

}  // namespace cygnet::agent
