// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "cygnet/base/assert.h"

namespace cygnet::agent {
namespace {

constexpr const char* kDevice = "/dev/net/tun";

// Of Linux 6.2, newer than the headers this is built with.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;

/// struct virtio_net_hdr, in host byte order; its own header is no C++.
struct VirtioHeader {
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t hdr_len;
  std::uint16_t gso_size;
  std::uint16_t csum_start;
  std::uint16_t csum_offset;
};
static_assert(sizeof(VirtioHeader) == 10);
constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kDataValid = 2;
constexpr std::uint8_t kGsoTcpV4 = 1;
constexpr std::uint8_t kGsoTcpV6 = 4;
constexpr std::uint8_t kGsoUdpL4 = 5;
constexpr std::uint8_t kGsoEcn = 0x80;

/// Asks for what the kernel may hand us in one piece: all it knows of our list.
TunOffloads ask_offloads(int fd) {
  constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (::ioctl(fd, TUNSETOFFLOAD, kTcp | kTunUso4 | kTunUso6) == 0) return {true, true};
  if (::ioctl(fd, TUNSETOFFLOAD, kTcp) == 0) return {true, false};
  return {};
}

GsoInfo read_header(const VirtioHeader& header) {
  GsoInfo gso;
  switch (header.gso_type & ~kGsoEcn) {
    case kGsoTcpV4:
      gso.kind = GsoKind::kTcpV4;
      break;
    case kGsoTcpV6:
      gso.kind = GsoKind::kTcpV6;
      break;
    case kGsoUdpL4:
      gso.kind = GsoKind::kUdp;
      break;
    default:
      break;
  }
  gso.segment_size = header.gso_size;
  gso.partial_checksum = (header.flags & kNeedsChecksum) != 0;
  gso.checksum_valid = (header.flags & kDataValid) != 0;
  gso.header_length = header.hdr_len;
  gso.checksum_start = header.csum_start;
  gso.checksum_offset = header.csum_offset;
  return gso;
}

VirtioHeader write_header(const GsoInfo& gso) {
  VirtioHeader header{};
  switch (gso.kind) {
    case GsoKind::kTcpV4:
      header.gso_type = kGsoTcpV4;
      break;
    case GsoKind::kTcpV6:
      header.gso_type = kGsoTcpV6;
      break;
    case GsoKind::kUdp:
      header.gso_type = kGsoUdpL4;
      break;
    case GsoKind::kNone:
      break;
  }
  header.gso_size = gso.segment_size;
  if (gso.partial_checksum) header.flags |= kNeedsChecksum;
  if (gso.checksum_valid) header.flags |= kDataValid;
  header.hdr_len = gso.header_length;
  header.csum_start = gso.checksum_start;
  header.csum_offset = gso.checksum_offset;
  return header;
}

bool valid_name(const std::string& name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
         name.find_first_of("/: \t\n%") == std::string::npos;
}

tl::unexpected<Error> privilege_error() {
  return fail(kErrPrivilege, "making a tunnel device needs CAP_NET_ADMIN", kDevice,
              "start the agent as root or with AmbientCapabilities=CAP_NET_ADMIN (in a container: "
              "--cap-add NET_ADMIN)");
}

}  // namespace

Result<Tun> Tun::open(const std::string& name, bool offload) {
  if (!valid_name(name)) {
    return fail(kErrTunName, "'" + name + "' is no interface name", "tunnel device",
                "use 1 to 15 letters, digits or hyphens");
  }
  Fd fd(::open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.is_open()) {
    if (errno == EACCES || errno == EPERM) return privilege_error();
    return fail(kErrTunMissing,
                std::string("there is no ") + kDevice + " (" + std::strerror(errno) + ")", kDevice,
                "load the tun module (modprobe tun), or give the container the device "
                "(--device /dev/net/tun)");
  }
  unsigned known = 0;
  if (offload && (::ioctl(fd.get(), TUNGETFEATURES, &known) != 0 || (known & IFF_VNET_HDR) == 0)) {
    offload = false;
  }
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0));
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    switch (errno) {
      case EPERM:
        return privilege_error();
      case EBUSY:
        return fail(kErrTunBusy, "another process holds the tunnel device", name,
                    "stop the other agent, or choose another device name (tun)");
      case EINVAL:
        return fail(kErrTunBusy, "an interface of another kind has this name", name,
                    "choose another device name (tun)");
      default:
        return fail(kErrTun,
                    std::string("the kernel refused the tunnel device: ") + std::strerror(errno),
                    name);
    }
  }
  TunOffloads offloads;
  if (offload) offloads = ask_offloads(fd.get());
  return Tun(std::move(fd), request.ifr_name, offload, offloads);
}

Status Tun::set_persistent(bool stays) {
  if (::ioctl(fd_.get(), TUNSETPERSIST, stays ? 1UL : 0UL) == 0) return {};
  return fail(kErrTun, std::string("the tunnel device cannot be kept: ") + std::strerror(errno),
              name_);
}

int Tun::read(MutableByteView into, GsoInfo& gso) {
  VirtioHeader header{};
  const std::size_t before = header_ ? sizeof header : 0;
  const iovec pieces[2] = {{&header, before}, {into.data(), into.size()}};
  for (;;) {
    const ssize_t n = ::readv(fd_.get(), pieces, 2);
    if (n >= 0) {
      gso = header_ ? read_header(header) : GsoInfo{};
      return static_cast<int>(n) - static_cast<int>(before);
    }
    if (errno == EINTR) continue;
    return errno == EAGAIN ? 0 : -errno;
  }
}

int Tun::write(std::span<const iovec> pieces, const GsoInfo& gso) {
  CYGNET_ASSERT(pieces.size() <= kMaxPieces);
  VirtioHeader header = write_header(gso);
  std::array<iovec, kMaxPieces + 1> all;
  std::size_t n = 0;
  if (header_) all[n++] = {&header, sizeof header};
  std::copy(pieces.begin(), pieces.end(), all.begin() + static_cast<std::ptrdiff_t>(n));
  n += pieces.size();
  for (;;) {
    if (::writev(fd_.get(), all.data(), static_cast<int>(n)) >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

int Tun::write(ByteView packet) {
  const iovec piece{const_cast<std::uint8_t*>(packet.data()), packet.size()};
  return write({&piece, 1}, GsoInfo{});
}

}  // namespace cygnet::agent
