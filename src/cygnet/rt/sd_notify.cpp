// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/sd_notify.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace cygnet::rt {
namespace {

std::optional<std::uint64_t> number_of(const char* text) {
  if (text == nullptr) return std::nullopt;
  std::uint64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

}  // namespace

ServiceNotifier ServiceNotifier::from_environment() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  std::optional<Duration> watchdog;
  const auto pid = number_of(std::getenv("WATCHDOG_PID"));
  const auto allowed = number_of(std::getenv("WATCHDOG_USEC"));
  const bool ours = !pid || *pid == static_cast<std::uint64_t>(getpid());
  if (allowed && *allowed > 0 && ours) watchdog = std::chrono::microseconds(*allowed);
  return ServiceNotifier(path == nullptr ? "" : path, watchdog);
}

ServiceNotifier::ServiceNotifier(std::string socket_path, std::optional<Duration> watchdog)
    : socket_path_(std::move(socket_path)), watchdog_(watchdog) {}

void ServiceNotifier::ready() const { send("READY=1"); }
void ServiceNotifier::reloading(Timestamp now) const {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(us.count()));
}
void ServiceNotifier::stopping() const { send("STOPPING=1"); }
void ServiceNotifier::watchdog() const { send("WATCHDOG=1"); }
void ServiceNotifier::status(std::string_view one_line) const {
  std::string text = "STATUS=" + std::string(one_line);
  std::replace(text.begin(), text.end(), '\n', ' ');  // a line break would start another variable
  send(text);
}

std::optional<Duration> ServiceNotifier::watchdog_interval() const {
  if (!watchdog_) return std::nullopt;
  return *watchdog_ / 2;
}

void ServiceNotifier::keep(std::string_view name, std::span<const int> descriptors) const {
  send("FDSTORE=1\nFDNAME=" + std::string(name), descriptors);
}
void ServiceNotifier::forget(std::string_view name) const {
  send("FDSTOREREMOVE=1\nFDNAME=" + std::string(name));
}

std::vector<int> kept_descriptors(std::string_view name) {
  constexpr int kFirst = 3;
  const auto pid = number_of(std::getenv("LISTEN_PID"));
  const auto count = number_of(std::getenv("LISTEN_FDS"));
  const char* names = std::getenv("LISTEN_FDNAMES");
  if (!pid || *pid != static_cast<std::uint64_t>(getpid()) || !count || names == nullptr) return {};
  std::vector<int> found;
  std::string_view rest = names;
  for (int fd = kFirst; fd < kFirst + static_cast<int>(std::min<std::uint64_t>(*count, 64)); ++fd) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    if (rest.substr(0, end) == name) {
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      found.push_back(fd);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return found;
}

void ServiceNotifier::send(const std::string& state, std::span<const int> descriptors) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.empty() || socket_path_.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // abstract name
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_path_.size());
  // Nobody can be told that telling failed; systemd's own timeout is the safety net.
  constexpr std::size_t kDescriptorsMax = 16;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kDescriptorsMax * sizeof(int))> control{};
  std::string text = state;
  iovec content{text.data(), text.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = length;
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  const std::size_t octets = std::min(descriptors.size(), kDescriptorsMax) * sizeof(int);
  if (octets != 0) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(octets);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(octets);
    std::memcpy(CMSG_DATA(header), descriptors.data(), octets);
  }
  [[maybe_unused]] const ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
  close(fd);
}

}  // namespace cygnet::rt
