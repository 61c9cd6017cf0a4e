// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/address_text.h"

#include <arpa/inet.h>
#include <net/if.h>

#include "cygnet/rt/text.h"

namespace cygnet::agent {

std::string to_text(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  const int family = address.is_v6 ? AF_INET6 : AF_INET;
  return inet_ntop(family, address.octets.data(), text, sizeof text) == nullptr ? "?" : text;
}

std::string to_text(const UdpEndpoint& endpoint) {
  std::string text = to_text(endpoint.address);
  if (endpoint.scope_id != 0) {
    char name[IF_NAMESIZE] = {};
    text += "%";
    text += if_indextoname(endpoint.scope_id, name) == nullptr ? std::to_string(endpoint.scope_id)
                                                               : std::string(name);
  }
  if (endpoint.address.is_v6) text = "[" + text + "]";
  return text + ":" + std::to_string(endpoint.port);
}

std::string to_text(const IpPrefix& prefix) {
  return to_text(prefix.address) + "/" + std::to_string(prefix.length);
}

Result<UdpEndpoint> endpoint_from_text(std::string_view text) {
  const auto refuse = [text](std::string what) {
    return fail(kErrEndpoint, "\"" + std::string(text) + "\" " + std::move(what), "endpoint",
                "write an address and a port: 198.51.100.17:4500 or [2001:db8::17]:4500");
  };
  const auto host_port = rt::parse_host_port(text);
  if (!host_port || host_port->port == 0) return refuse("is no address:port");
  UdpEndpoint endpoint;
  endpoint.port = host_port->port;
  std::string host = host_port->host;
  const std::size_t percent = host.find('%');
  if (percent != std::string::npos) {
    endpoint.scope_id = if_nametoindex(host.substr(percent + 1).c_str());
    if (endpoint.scope_id == 0) return refuse("names an interface that is not there");
    host.resize(percent);
  }
  if (inet_pton(AF_INET, host.c_str(), endpoint.address.octets.data()) == 1) return endpoint;
  endpoint.address.is_v6 = true;
  if (inet_pton(AF_INET6, host.c_str(), endpoint.address.octets.data()) == 1) return endpoint;
  return refuse("has no IPv4 or IPv6 address before the port");
}

}  // namespace cygnet::agent
