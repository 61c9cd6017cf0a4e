// SPDX-License-Identifier: Apache-2.0
// Preloaded into `ip`: appends what it sends to the kernel to the file CYGNET_TAP names, one
// message a line in hexadecimal, and sends it. For tests that compare our messages with iproute2's.
#include <dlfcn.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>

extern "C" ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  using Send = ssize_t (*)(int, const msghdr*, int);
  const auto next = reinterpret_cast<Send>(dlsym(RTLD_NEXT, "sendmsg"));
  const char* const path = std::getenv("CYGNET_TAP");
  std::FILE* const file = path != nullptr ? std::fopen(path, "a") : nullptr;
  if (file != nullptr) {
    for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
      const auto* const octets = static_cast<const unsigned char*>(message->msg_iov[i].iov_base);
      for (std::size_t k = 0; k < message->msg_iov[i].iov_len; ++k) {
        std::fprintf(file, "%02x", static_cast<unsigned>(octets[k]));
      }
    }
    std::fprintf(file, "\n");
    std::fclose(file);
  }
  return next(fd, message, flags);
}
