// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "traffic/analyse.h"
#include "traffic/capture.h"
#include "traffic/log.h"

namespace cygnet::traffic {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

Log sender(std::initializer_list<std::uint32_t> seqs) {
  Log log{1, {}};
  for (const std::uint32_t s : seqs) log.records.push_back({Kind::kSent, 2, 0, s, s * 10 * kMs});
  return log;
}
Log receiver(std::initializer_list<std::uint32_t> seqs) {
  Log log{2, {}};
  for (const std::uint32_t s : seqs) {
    log.records.push_back({Kind::kReceived, 1, 0, s, s * 10 * kMs + kMs});
  }
  return log;
}
const Phase kAll{"p", 0, 1000 * kMs, false, 0, 0};

TEST(Analyse, CountsLossAndDuplicates) {
  const auto out = analyse({sender({0, 1, 2, 3}), receiver({0, 2, 2, 3})}, kAll);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].sent, 4U);
  EXPECT_EQ(out[0].received, 3U);
  EXPECT_EQ(out[0].lost, 1U);
  EXPECT_EQ(out[0].duplicated, 1U);
}

TEST(Analyse, CountsFromTheFirstReceivedWhenAsked) {
  Phase phase = kAll;
  phase.from_first_received = true;
  const auto out = analyse({sender({0, 1, 2, 3}), receiver({2, 3})}, phase);
  EXPECT_EQ(out[0].sent, 2U);
  EXPECT_EQ(out[0].lost, 0U);
  EXPECT_EQ(out[0].before_first, 2U);
}

TEST(Analyse, ADirectionThatNeverReceivesHasLostEverythingItSent) {
  const auto out = analyse({sender({0, 1}), Log{2, {}}}, kAll);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_FALSE(out[0].ever_received);
  EXPECT_EQ(out[0].lost, 2U);
}

TEST(Analyse, AnArrivalTwoSecondsAfterTheEndIsLost) {
  Log late{2, {{Kind::kReceived, 1, 0, 0, kAll.end_ns + kSilenceNs + 1}}};
  EXPECT_EQ(analyse({sender({0}), late}, kAll)[0].lost, 1U);
  late.records[0].time_ns -= 1;
  EXPECT_EQ(analyse({sender({0}), late}, kAll)[0].lost, 0U);
}

TEST(Analyse, MeasuresRecoveryFromTheMarkAndReceptionsAfterQuiet) {
  Phase phase = kAll;
  phase.mark_ns = 15 * kMs;
  phase.quiet_after_ns = 25 * kMs;
  const auto out = analyse({sender({0, 1, 2, 3}), receiver({0, 1, 2, 3})}, phase);
  EXPECT_EQ(out[0].recovered_after_ns, 6 * kMs);
  EXPECT_EQ(out[0].received_after_quiet, 1U);
}

TEST(Analyse, LongestSilenceIncludesTheTail) {
  const auto out = analyse({sender({0, 1}), receiver({0, 1})}, kAll);
  EXPECT_EQ(out[0].gap_max_ns, 1000 * kMs - 11 * kMs);
}

class Capture : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "cygnet-traffic-" + std::to_string(getpid()) + ".pcap";
    file_.open(path_, std::ios::binary);
    const std::uint32_t header[6] = {0xa1b2c3d4U, 0x00040002U, 0, 0, 65535, 1};
    file_.write(reinterpret_cast<const char*>(header), sizeof header);
  }
  void TearDown() override { std::remove(path_.c_str()); }

  void udp(std::uint8_t destination, std::uint16_t port, const std::string& payload) {
    std::string p(12, '\0');
    p += "\x08";
    p += '\0';
    std::string ip(20, '\0');
    ip[0] = 0x45;
    ip[9] = 17;
    const char source[4] = {static_cast<char>(192), 0, 2, 1};
    ip.replace(12, 4, source, 4);
    const char dest[4] = {static_cast<char>(destination), 77, 2, 1};
    ip.replace(16, 4, dest, 4);
    std::string udp(8, '\0');
    udp[2] = static_cast<char>(port >> 8);
    udp[3] = static_cast<char>(port & 255);
    udp[4] = static_cast<char>((payload.size() + 8) >> 8);
    udp[5] = static_cast<char>((payload.size() + 8) & 255);
    p += ip + udp + payload;
    const auto n = static_cast<std::uint32_t>(p.size());
    const std::uint32_t record[4] = {0, 0, n, n};
    file_.write(reinterpret_cast<const char*>(record), sizeof record);
    file_.write(p.data(), static_cast<std::streamsize>(p.size()));
  }
  CaptureFigures figures() {
    file_.close();
    CaptureOptions options;
    options.inner.push_back(*parse_prefix("10.77.0.0/16"));
    options.control_ports = {7443};
    return analyse_capture(path_, options).value();
  }

  std::string path_;
  std::ofstream file_;
};

TEST_F(Capture, CountsEspAndFindsARepeatedIv) {
  const std::string a = std::string("\x01\x02\x03\x04\0\0\0\1", 8) + "IVIVIVIVdata";
  const std::string b = std::string("\x01\x02\x03\x04\0\0\0\2", 8) + "IVIVIVI2data";
  udp(198, 4500, a);
  udp(198, 4500, b);
  EXPECT_EQ(figures().iv_repeats, 0U);
}

TEST_F(Capture, ARepeatedIvIsSeen) {
  const std::string a = std::string("\x01\x02\x03\x04\0\0\0\1", 8) + "IVIVIVIVdata";
  const std::string b = std::string("\x01\x02\x03\x04\0\0\0\2", 8) + "IVIVIVIVdata";
  udp(198, 4500, a);
  udp(198, 4500, b);
  const auto out = figures();
  EXPECT_EQ(out.esp, 2U);
  EXPECT_EQ(out.iv_repeats, 1U);
}

TEST_F(Capture, NamesClearTextByAddressAndByPayload) {
  udp(10, 53, "anything at all");
  udp(198, 53, "CYGT and so on");
  udp(198, 7443, "control");
  const auto out = figures();
  EXPECT_EQ(out.cleartext, 2U);
  EXPECT_EQ(out.by_kind.at("discovery"), 1U);
  EXPECT_EQ(out.examples.size(), 2U);
}

}  // namespace
}  // namespace cygnet::traffic
