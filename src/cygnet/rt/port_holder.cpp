// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/port_holder.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace cygnet::rt {
namespace {

/// Inodes of the sockets bound to the port, from /proc/net/<table> (proc(5)).
void find_inodes(const std::string& table, std::uint16_t port, std::vector<std::string>& inodes) {
  std::ifstream file("/proc/net/" + table);
  std::string line;
  std::getline(file, line);  // headings
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >>
        timeout >> inode;
    const auto colon = local.rfind(':');
    if (colon == std::string::npos || inode.empty() || inode == "0") continue;
    const bool listens = table.rfind("tcp", 0) != 0 || state == "0A";
    if (listens && std::stoul(local.substr(colon + 1), nullptr, 16) == port) {
      inodes.push_back("socket:[" + inode + "]");
    }
  }
}

}  // namespace

std::string describe_port_holder(std::string_view protocol, std::uint16_t port) {
  namespace fs = std::filesystem;
  std::vector<std::string> inodes;
  find_inodes(std::string(protocol), port, inodes);
  find_inodes(std::string(protocol) + "6", port, inodes);
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    const std::string pid = process.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code denied;
    for (fs::directory_iterator fd(process.path() / "fd", denied), end; !denied && fd != end;
         fd.increment(denied)) {
      std::error_code gone;
      const std::string target = fs::read_symlink(fd->path(), gone);
      for (const auto& inode : inodes) {
        if (target != inode) continue;
        std::ifstream comm(process.path() / "comm");
        std::string name;
        std::getline(comm, name);
        return name + " (process " + pid + ")";
      }
    }
  }
  return "another process";
}

}  // namespace cygnet::rt
