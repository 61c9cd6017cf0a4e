// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Requests to the kernel's routing netlink (rtnetlink(7)) through libmnl: one request, one answer,
/// synchronously. The socket belongs to the network namespace it was opened in. Control thread
/// only.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/result.h"

struct mnl_socket;
struct nlmsghdr;
struct nlattr;

namespace cygnet::agent {

inline constexpr ErrorCode kErrNetlink{"netlink"};

/// A request being built. Attributes are appended behind the family's header.
class NetlinkRequest {
 public:
  /// @param extra_header  size of the family's header (rtmsg, ifinfomsg, …), zeroed.
  NetlinkRequest(std::uint16_t type, std::uint16_t flags, std::size_t extra_header);

  /// The family's header.
  template <class Header>
  [[nodiscard]] Header& header() {
    return *static_cast<Header*>(extra_);
  }
  void put_u8(std::uint16_t attribute, std::uint8_t value);
  void put_u32(std::uint16_t attribute, std::uint32_t value);
  void put_text(std::uint16_t attribute, const std::string& value);
  void put_address(std::uint16_t attribute, const IpAddress& address);
  [[nodiscard]] nlattr* begin_nest(std::uint16_t attribute);
  void end_nest(nlattr* nest);
  [[nodiscard]] nlmsghdr* message() { return message_; }

 private:
  std::vector<std::uint64_t> storage_;  ///< aligned
  nlmsghdr* message_;
  void* extra_;
};

/// Attributes of a received message, by type.
class NetlinkAttributes {
 public:
  NetlinkAttributes(const nlmsghdr* message, std::size_t extra_header, std::uint16_t max_type);
  /// Attributes nested in another.
  NetlinkAttributes(const nlattr* nest, std::uint16_t max_type);
  [[nodiscard]] bool has(std::uint16_t type) const { return table_[type] != nullptr; }
  [[nodiscard]] const nlattr* raw(std::uint16_t type) const { return table_[type]; }
  /// `absent` when it is missing or of another size.
  [[nodiscard]] std::uint32_t u32(std::uint16_t type, std::uint32_t absent = 0) const;
  [[nodiscard]] std::uint8_t u8(std::uint16_t type, std::uint8_t absent = 0) const;
  [[nodiscard]] std::string text(std::uint16_t type) const;
  /// As many octets as the kernel gave, at most `size`; false when the attribute is missing.
  bool copy(std::uint16_t type, void* into, std::size_t size) const;
  [[nodiscard]] IpAddress address(std::uint16_t type, bool v6) const;

 private:
  std::vector<const nlattr*> table_;
};

class Netlink {
 public:
  [[nodiscard]] static Result<Netlink> open();

  /// Sends, waits for the acknowledgement. @return 0 or the kernel's errno.
  [[nodiscard]] int ask(NetlinkRequest& request);
  /// The same as a Status: `what` says what was asked ("add route 10.0.0.0/8").
  [[nodiscard]] Status request(NetlinkRequest& request, const std::string& what);
  /// The same for a request whose answer is a message. @return 0 or the kernel's errno.
  [[nodiscard]] int get(NetlinkRequest& request, const std::function<void(const nlmsghdr*)>& visit);
  /// Sends a dump request and hands each message of the answer to `visit`, some of them more than
  /// once when the table changes meanwhile.
  [[nodiscard]] Status dump(NetlinkRequest& request, const std::string& what,
                            const std::function<void(const nlmsghdr*)>& visit);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  explicit Netlink(std::unique_ptr<mnl_socket, Close> socket) : socket_(std::move(socket)) {}
  [[nodiscard]] int exchange(nlmsghdr* message, const std::function<void(const nlmsghdr*)>* visit);

  std::unique_ptr<mnl_socket, Close> socket_;
  std::uint32_t sequence_ = 0;
};

/// An errno of the kernel as an Error with a cure where there is one.
[[nodiscard]] Error netlink_error(const std::string& what, int error);

}  // namespace cygnet::agent
