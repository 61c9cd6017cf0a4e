// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/sd_notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

namespace cygnet::rt {
namespace {

TEST(ServiceManager, GetsDescriptorsThatStillWorkAndTheirName) {
  const std::string path = "@cygnet-notify-" + std::to_string(getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, path.data() + 1, path.size() - 1);
  const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(manager, reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size())),
            0);
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(pipe(pipe_ends.data()), 0);
  ServiceNotifier(path, std::nullopt).keep("esp", std::span(pipe_ends).subspan(1));
  close(pipe_ends[1]);

  std::array<char, 256> text{};
  alignas(cmsghdr) std::array<char, 64> control{};
  iovec content{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = recvmsg(manager, &message, 0);
  ASSERT_GT(n, 0);
  EXPECT_EQ(std::string(text.data(), static_cast<std::size_t>(n)), "FDSTORE=1\nFDNAME=esp");
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  ASSERT_NE(header, nullptr);
  EXPECT_EQ(header->cmsg_type, SCM_RIGHTS);
  EXPECT_EQ(header->cmsg_len, CMSG_LEN(sizeof(int)));
  int kept = -1;
  std::memcpy(&kept, CMSG_DATA(header), sizeof kept);
  ASSERT_EQ(write(kept, "x", 1), 1);
  char got = 0;
  EXPECT_EQ(read(pipe_ends[0], &got, 1), 1);
  EXPECT_EQ(got, 'x');
  for (const int fd : {kept, pipe_ends[0], manager}) close(fd);
}

TEST(ServiceManager, ReturnsWhatItKeptByNameAndOnlyToTheProcessItMeans) {
  setenv("LISTEN_FDS", "3", 1);
  setenv("LISTEN_FDNAMES", "esp:http:esp", 1);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(kept_descriptors("esp"), (std::vector<int>{3, 5}));
  EXPECT_EQ(kept_descriptors("http"), std::vector<int>{4});
  EXPECT_TRUE(kept_descriptors("other").empty());
  setenv("LISTEN_PID", "1", 1);
  EXPECT_TRUE(kept_descriptors("esp").empty());
  for (const char* name : {"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"}) unsetenv(name);
}

}  // namespace
}  // namespace cygnet::rt
