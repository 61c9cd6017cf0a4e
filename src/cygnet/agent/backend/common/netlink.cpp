// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cygnet/agent/backend/common/tun.h"

namespace cygnet::agent {
namespace {

// Requests here have a handful of small attributes.
constexpr std::size_t kRequestWords = 128;
constexpr std::size_t kReceiveSize = 65536;

struct AttributeTable {
  std::vector<const nlattr*>* table;
};

int collect(const nlattr* attribute, void* data) {
  auto& table = *static_cast<AttributeTable*>(data)->table;
  const std::uint16_t type = mnl_attr_get_type(attribute);
  if (type < table.size()) table[type] = attribute;
  return MNL_CB_OK;
}

int visit_message(const nlmsghdr* message, void* data) {
  const auto* const visit = *static_cast<const std::function<void(const nlmsghdr*)>**>(data);
  if (visit != nullptr) (*visit)(message);
  return MNL_CB_OK;
}

}  // namespace

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags, std::size_t extra_header)
    : storage_(kRequestWords) {
  message_ = mnl_nlmsg_put_header(storage_.data());
  message_->nlmsg_type = type;
  message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  extra_ = mnl_nlmsg_put_extra_header(message_, extra_header);
}

void NetlinkRequest::put_u8(std::uint16_t attribute, std::uint8_t value) {
  mnl_attr_put_u8(message_, attribute, value);
}
void NetlinkRequest::put_u32(std::uint16_t attribute, std::uint32_t value) {
  mnl_attr_put_u32(message_, attribute, value);
}
void NetlinkRequest::put_text(std::uint16_t attribute, const std::string& value) {
  mnl_attr_put_strz(message_, attribute, value.c_str());
}
void NetlinkRequest::put_address(std::uint16_t attribute, const IpAddress& address) {
  mnl_attr_put(message_, attribute, address.is_v6 ? 16 : 4, address.octets.data());
}
nlattr* NetlinkRequest::begin_nest(std::uint16_t attribute) {
  return mnl_attr_nest_start(message_, attribute);
}
void NetlinkRequest::end_nest(nlattr* nest) { mnl_attr_nest_end(message_, nest); }

NetlinkAttributes::NetlinkAttributes(const nlmsghdr* message, std::size_t extra_header,
                                     std::uint16_t max_type)
    : table_(std::size_t{max_type} + 1) {
  AttributeTable table{&table_};
  mnl_attr_parse(message, static_cast<unsigned>(extra_header), collect, &table);
}

NetlinkAttributes::NetlinkAttributes(const nlattr* nest, std::uint16_t max_type)
    : table_(std::size_t{max_type} + 1) {
  AttributeTable table{&table_};
  mnl_attr_parse_nested(nest, collect, &table);
}

std::uint32_t NetlinkAttributes::u32(std::uint16_t type, std::uint32_t absent) const {
  const nlattr* const attribute = table_[type];
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != 4) return absent;
  return mnl_attr_get_u32(attribute);
}

std::uint8_t NetlinkAttributes::u8(std::uint16_t type, std::uint8_t absent) const {
  const nlattr* const attribute = table_[type];
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != 1) return absent;
  return mnl_attr_get_u8(attribute);
}

std::string NetlinkAttributes::text(std::uint16_t type) const {
  const nlattr* const attribute = table_[type];
  if (attribute == nullptr) return {};
  const std::size_t size = mnl_attr_get_payload_len(attribute);
  const char* const begin = mnl_attr_get_str(attribute);
  return std::string(begin, strnlen(begin, size));
}

bool NetlinkAttributes::copy(std::uint16_t type, void* into, std::size_t size) const {
  const nlattr* const attribute = table_[type];
  if (attribute == nullptr) return false;
  std::memcpy(into, mnl_attr_get_payload(attribute),
              std::min<std::size_t>(size, mnl_attr_get_payload_len(attribute)));
  return true;
}

IpAddress NetlinkAttributes::address(std::uint16_t type, bool v6) const {
  IpAddress address;
  address.is_v6 = v6;
  const nlattr* const attribute = table_[type];
  const std::size_t size = v6 ? 16 : 4;
  if (attribute != nullptr && mnl_attr_get_payload_len(attribute) == size) {
    std::memcpy(address.octets.data(), mnl_attr_get_payload(attribute), size);
  }
  return address;
}

void Netlink::Close::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

Result<Netlink> Netlink::open() {
  std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return fail(netlink_error("open a netlink socket", errno));
  }
  return Netlink(std::move(socket));
}

int Netlink::exchange(nlmsghdr* message, const std::function<void(const nlmsghdr*)>* visit) {
  message->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) < 0) return errno;
  std::vector<std::uint8_t> buffer(kReceiveSize);
  const unsigned port = mnl_socket_get_portid(socket_.get());
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    // An answer to a request that was given up on has another sequence number.
    const auto* const first = reinterpret_cast<const nlmsghdr*>(buffer.data());
    if (static_cast<std::size_t>(n) >= sizeof *first && first->nlmsg_seq != sequence_) continue;
    const int result = mnl_cb_run(buffer.data(), static_cast<std::size_t>(n), sequence_, port,
                                  visit_message, &visit);
    if (result < 0) return errno;
    if (result == MNL_CB_STOP) return 0;
  }
}

int Netlink::ask(NetlinkRequest& request) {
  request.message()->nlmsg_flags =
      static_cast<std::uint16_t>(request.message()->nlmsg_flags | NLM_F_ACK);
  return exchange(request.message(), nullptr);
}

int Netlink::get(NetlinkRequest& request, const std::function<void(const nlmsghdr*)>& visit) {
  request.message()->nlmsg_flags =
      static_cast<std::uint16_t>(request.message()->nlmsg_flags | NLM_F_ACK);
  return exchange(request.message(), &visit);
}

Status Netlink::request(NetlinkRequest& request, const std::string& what) {
  const int error = ask(request);
  if (error != 0) return fail(netlink_error(what, error));
  return {};
}

Status Netlink::dump(NetlinkRequest& request, const std::string& what,
                     const std::function<void(const nlmsghdr*)>& visit) {
  request.message()->nlmsg_flags =
      static_cast<std::uint16_t>(request.message()->nlmsg_flags | NLM_F_DUMP);
  int error = EINTR;
  // EINTR: the table changed while it was told; what was seen twice does no harm to any visitor.
  for (int attempt = 0; attempt < 4 && error == EINTR; ++attempt) {
    error = exchange(request.message(), &visit);
  }
  if (error != 0) return fail(netlink_error(what, error));
  return {};
}

Error netlink_error(const std::string& what, int error) {
  if (error == EPERM) {
    return Error{kErrPrivilege, "no right to " + what, "netlink",
                 "start the agent as root or with AmbientCapabilities=CAP_NET_ADMIN"};
  }
  return Error{kErrNetlink, "the kernel refused to " + what + ": " + std::strerror(error),
               "netlink"};
}

}  // namespace cygnet::agent
