// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace cygnet::load {

Result<Usage> usage_of(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ifstream stat(folder + "/stat");
  std::string line;
  std::getline(stat, line);
  // The program's name stands in parentheses and may hold anything.
  const std::size_t name_end = line.rfind(')');
  if (!stat || name_end == std::string::npos) {
    return fail(kErrProcess, "no process has the pid " + std::to_string(pid), "--controller-pid",
                "give the pid of cygnetd on this host");
  }
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  std::int64_t user = 0;
  std::int64_t system = 0;
  fields >> user >> system;
  Usage usage;
  usage.cpu = std::chrono::nanoseconds((user + system) * (1'000'000'000 / sysconf(_SC_CLK_TCK)));
  std::ifstream status(folder + "/status");
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmRSS:" && status >> kib) usage.resident = kib * 1024;
    if (word == "VmHWM:" && status >> kib) usage.resident_peak = kib * 1024;
  }
  return usage;
}

std::uint64_t raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  (void)getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace cygnet::load
