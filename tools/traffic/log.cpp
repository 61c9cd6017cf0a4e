// SPDX-License-Identifier: Apache-2.0
#include "traffic/log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace cygnet::traffic {
namespace {

constexpr char kLogMagic[8] = {'C', 'Y', 'G', 'T', 'L', 'O', 'G', '1'};
constexpr std::size_t kFlushRecords = 16384;

void write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, at, size);
    if (n <= 0) return;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
}

}  // namespace

LogWriter::LogWriter(const std::string& path, std::uint32_t self)
    : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (fd_ < 0) return;
  write_all(fd_, kLogMagic, sizeof kLogMagic);
  write_all(fd_, &self, sizeof self);
  pending_.reserve(kFlushRecords);
}

LogWriter::~LogWriter() {
  if (fd_ < 0) return;
  flush();
  ::close(fd_);
}

void LogWriter::add(Kind kind, std::uint8_t other, std::uint32_t seq, std::uint64_t time_ns) {
  pending_.push_back(Record{kind, other, 0, seq, time_ns});
  if (pending_.size() >= kFlushRecords) flush();
}

void LogWriter::flush() {
  write_all(fd_, pending_.data(), pending_.size() * sizeof(Record));
  pending_.clear();
}

std::optional<Log> read_log(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  constexpr std::size_t header = sizeof kLogMagic + sizeof(std::uint32_t);
  if (all.size() < header || std::memcmp(all.data(), kLogMagic, sizeof kLogMagic) != 0) {
    return std::nullopt;
  }
  Log log;
  std::memcpy(&log.self, all.data() + sizeof kLogMagic, sizeof log.self);
  log.records.resize((all.size() - header) / sizeof(Record));
  std::memcpy(log.records.data(), all.data() + header, log.records.size() * sizeof(Record));
  return log;
}

std::uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace cygnet::traffic
