// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The raw record of one measuring endpoint: every datagram it sent and received, with its sequence
/// number and the time. Figures are computed from these files only, after the run.
///
/// File: "CYGTLOG1", the device's number (4 octets), then records of 16 octets, little-endian:
/// kind (1), the other device (1), reserved (2), sequence number (4), CLOCK_MONOTONIC in ns (8).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cygnet::traffic {

enum class Kind : std::uint8_t {
  kSent = 0,
  kReceived = 1,
  kSendRefused = 2,  ///< the kernel refused it (no route): counts as sent, and so as lost
};

struct Record {
  Kind kind;
  std::uint8_t other;
  std::uint16_t reserved;
  std::uint32_t seq;
  std::uint64_t time_ns;
};
static_assert(sizeof(Record) == 16);

class LogWriter {
 public:
  LogWriter(const std::string& path, std::uint32_t self);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  [[nodiscard]] bool ok() const { return fd_ >= 0; }
  void add(Kind kind, std::uint8_t other, std::uint32_t seq, std::uint64_t time_ns);
  void flush();

 private:
  int fd_ = -1;
  std::vector<Record> pending_;
};

struct Log {
  std::uint32_t self = 0;
  std::vector<Record> records;
};
/// nullopt when the file is missing or not such a log; a torn last record is left out.
[[nodiscard]] std::optional<Log> read_log(const std::string& path);

[[nodiscard]] std::uint64_t monotonic_ns();

}  // namespace cygnet::traffic
