// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace cygnet::agent::userspace {
namespace {

constexpr const char* kDevice = "/dev/net/tun";

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

Result<Tun> Tun::open(const std::string& name) {
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
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
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
  return Tun(std::move(fd), request.ifr_name);
}

int Tun::read(MutableByteView into) {
  for (;;) {
    const ssize_t n = ::read(fd_.get(), into.data(), into.size());
    if (n >= 0) return static_cast<int>(n);
    if (errno == EINTR) continue;
    return errno == EAGAIN ? 0 : -errno;
  }
}

int Tun::write(ByteView packet) {
  for (;;) {
    const ssize_t n = ::write(fd_.get(), packet.data(), packet.size());
    if (n >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace cygnet::agent::userspace
