// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/state_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "cygnet/agent/driver/device_journal.h"
#include "cygnet/agent/driver/ppk_file.h"
#include "cygnet/agent/driver/state_file.h"
#include "cygnet/rt/test_directory.h"

namespace cygnet::agent {
namespace {

class StateDirTest : public ::testing::Test {
 protected:
  [[nodiscard]] rt::Path file(const char* name) const { return scratch.path() / name; }
  void overwrite(const char* name, ByteView octets) const {
    ASSERT_TRUE(rt::write_file_atomic(file(name), octets, 0600));
  }
  [[nodiscard]] Bytes content(const char* name) const { return *rt::read_file(file(name)); }

  rt::test::TempDirectory scratch;
  StateDir state{scratch.path()};
};

StoredTable sample_table() {
  StoredTable table;
  table.cursor = Cursor{{1, 2, 3}, 77};
  table.settings.emplace();
  table.settings->proposals = {"aes256gcm16-x25519-sha256"};
  table.settings->rekeyed = {"x"};
  table.settings->policy_version = 9;
  table.settings->lanes = 3;
  table.settings->own_prefixes = {IpPrefix{IpAddress{false, {10, 1}}, 16}};
  StoredPeer peer;
  peer.device = proto::DeviceName("b.m");
  peer.allowed = true;
  peer.last_accepted = proto::KnownDim{proto::RekeyCounter(4, 5), {9, 9}};
  peer.dim = StoredDim{{1, 2}, {3, 4}, ServerTime(std::chrono::milliseconds(1234))};
  peer.endpoints = {UdpEndpoint{IpAddress{true, {0xfe, 0x80}}, 4500, 3}};
  peer.prefixes = {IpPrefix{IpAddress{true, {0xfd}}, 8}};
  peer.policy = PairPolicy{true, "hub"};
  table.peers.push_back(peer);
  StoredPeer gone;
  gone.device = proto::DeviceName("c.m");
  table.peers.push_back(gone);
  return table;
}

TEST_F(StateDirTest, WhatIsStoredIsReadBack) {
  const StoredTable table = sample_table();
  ASSERT_TRUE(state.store_table(table));
  const auto read = state.load_table();
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read->cursor, table.cursor);
  EXPECT_EQ(read->settings, table.settings);
  ASSERT_EQ(read->peers.size(), 2U);
  EXPECT_EQ(read->peers[0].dim, table.peers[0].dim);
  EXPECT_EQ(read->peers[0].last_accepted->digest, table.peers[0].last_accepted->digest);
  EXPECT_EQ(read->peers[0].endpoints, table.peers[0].endpoints);
  EXPECT_EQ(read->peers[0].prefixes, table.peers[0].prefixes);
  EXPECT_EQ(read->peers[0].policy, table.peers[0].policy);
  EXPECT_FALSE(read->peers[1].last_accepted);
  EXPECT_FALSE(read->peers[1].allowed);

  Pins pins;
  static_cast<void>(pins.take(proto::DeviceName("b.m"), crypto::Sha256{1}, MeshSettings{}));
  pins.confirm(proto::DeviceName("b.m"), crypto::Sha256{2});
  ASSERT_TRUE(state.store_pins(pins));
  EXPECT_EQ(state.load_pins()->entries(), pins.entries());

  const Revocations revocations{8, {crypto::Sha256{5}}, {Bytes{1, 0}}};
  ASSERT_TRUE(state.store_revocations(revocations));
  EXPECT_EQ(*state.load_revocations(), revocations);

  ASSERT_TRUE(state.store_server_time(ServerTime(std::chrono::milliseconds(99))));
  EXPECT_EQ(state.load_server_time()->time_since_epoch().count(), 99);
}

TEST_F(StateDirTest, AMissingFileIsAnEmptyRecord) {
  EXPECT_EQ(state.load_device()->boot_count, 0U);
  EXPECT_TRUE(state.load_pins()->entries().empty());
  EXPECT_TRUE(state.load_table()->peers.empty());
  EXPECT_EQ(state.load_revocations()->number, 0U);
}

TEST_F(StateDirTest, ADirectoryThatWasNeverJoinedSaysHowToJoin) {
  const auto mesh = state.load_mesh();
  ASSERT_FALSE(mesh);
  EXPECT_EQ(mesh.error().code, kErrNotJoined);
  EXPECT_NE(mesh.error().cure.find("cygnet-agent join"), std::string::npos);
}

TEST_F(StateDirTest, AFileCutAnywhereIsRefusedByName) {
  ASSERT_TRUE(state.store_table(sample_table()));
  const Bytes whole = content("peers.state");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    overwrite("peers.state", ByteView(whole).first(length));
    const auto read = state.load_table();
    ASSERT_FALSE(read) << length;
    EXPECT_EQ(read.error().code, kErrStateTruncated) << length;
    EXPECT_NE(read.error().where.find("peers.state"), std::string::npos);
    EXPECT_FALSE(read.error().cure.empty());
  }
}

TEST_F(StateDirTest, AFileWithAnyOctetChangedIsRefused) {
  ASSERT_TRUE(state.store_device(DeviceRecord{3, 4, {Bytes{1, 2, 3}}}));
  const Bytes whole = content("device.state");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    Bytes damaged = whole;
    damaged[i] ^= 0x40;
    overwrite("device.state", damaged);
    EXPECT_FALSE(state.load_device()) << i;
  }
  Bytes longer = whole;
  longer.push_back(0);
  overwrite("device.state", longer);
  EXPECT_FALSE(state.load_device());
}

TEST_F(StateDirTest, AFileInThePlaceOfAnotherIsRefused) {
  ASSERT_TRUE(state.store_pins(Pins{}));
  overwrite("revocations.state", content("pins.state"));
  const auto read = state.load_revocations();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, kErrStateCorrupt);
}

TEST_F(StateDirTest, AFileOfALaterVersionSaysSo) {
  ASSERT_TRUE(state.store_pins(Pins{}));
  Bytes later = content("pins.state");
  later[12] = 2;
  overwrite("pins.state", later);
  const auto read = state.load_pins();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, kErrStateVersion);
}

TEST_F(StateDirTest, TheIdentityKeyIsForItsOwnerOnly) {
  EXPECT_FALSE(state.load_identity_key()->has_value());
  const auto key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  ASSERT_TRUE(state.store_identity_key(key));
  struct stat info {};
  ASSERT_EQ(stat(file("identity.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_EQ(state.load_identity_key()->value().spki(), key.spki());
  ASSERT_EQ(chmod(file("identity.key").c_str(), 0644), 0);
  const auto read = state.load_identity_key();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, rt::kErrFileMode);
}

TEST_F(StateDirTest, NoFileButTheIdentityKeyHoldsASecret) {
  // Everything a run writes is public or the device's own long-term key; DH private values have no
  // way in: no store function takes one. This pins the list of files.
  ASSERT_TRUE(state.store_table(sample_table()));
  ASSERT_TRUE(state.store_device(DeviceRecord{1, 1, {}}));
  ASSERT_TRUE(state.store_pins(Pins{}));
  ASSERT_TRUE(state.store_revocations(Revocations{}));
  ASSERT_TRUE(state.store_server_time(ServerTime{}));
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
    names.insert(entry.path().filename());
  }
  EXPECT_EQ(names, (std::set<std::string>{"peers.state", "device.state", "pins.state",
                                          "revocations.state", "clock.state"}));
}

TEST_F(StateDirTest, EvidenceIsKeptInBoundedNumber) {
  for (std::uint32_t i = 1; i < 40; ++i) {
    ASSERT_TRUE(state.keep_evidence(proto::DeviceName("b.m"), proto::RekeyCounter(1, i), Bytes{1},
                                    Bytes{2}));
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path() / "evidence")) {
    static_cast<void>(entry);
    ++files;
  }
  EXPECT_EQ(files, 32U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.2
//= type=test
//# It is further RECOMMENDED that to ensure ordering after a device reboot that the counter include
//# a "boot count", which increments after each reboot.
TEST_F(StateDirTest, TheBootCountIsOnDiskBeforeItIsUsed) {
  DeviceJournal journal(state, *state.load_device());
  ASSERT_TRUE(journal.raise_boot_count());
  EXPECT_EQ(journal.record().boot_count, 1U);
  EXPECT_EQ(state.load_device()->boot_count, 1U);
  ASSERT_TRUE(journal.add_own_dim(proto::RekeyCounter(1, 7), Bytes{1, 2}));
  EXPECT_EQ(state.load_device()->last_sequence, 7U);
  ASSERT_TRUE(journal.set_boot_count(9));
  EXPECT_EQ(state.load_device()->boot_count, 9U);
  EXPECT_EQ(state.load_device()->last_sequence, 0U);
  // A DIM signed under the old boot count, stored late, brings nothing back.
  ASSERT_TRUE(journal.add_own_dim(proto::RekeyCounter(1, 8), Bytes{3}));
  EXPECT_EQ(state.load_device()->boot_count, 9U);
  EXPECT_EQ(state.load_device()->last_sequence, 0U);
}

TEST_F(StateDirTest, OnlyTheLastOwnDimsAreKept) {
  DeviceJournal journal(state, DeviceRecord{});
  for (std::uint32_t i = 1; i <= 9; ++i) {
    ASSERT_TRUE(
        journal.add_own_dim(proto::RekeyCounter(0, i), Bytes{static_cast<std::uint8_t>(i)}));
  }
  const auto record = *state.load_device();
  ASSERT_EQ(record.own_dims.size(), kOwnDimsKept);
  EXPECT_EQ(record.own_dims.back(), Bytes{9});
}

TEST_F(StateDirTest, AFailedStoreLeavesTheJournalAsItWas) {
  DeviceJournal journal(state, DeviceRecord{5, 2, {}});
  ASSERT_TRUE(journal.set_boot_count(6));
  std::filesystem::remove_all(scratch.path());
  EXPECT_FALSE(journal.raise_boot_count());
  EXPECT_EQ(journal.record().boot_count, 6U);
  std::filesystem::create_directory(scratch.path());
}

TEST_F(StateDirTest, TheLastBootCountIsNotWrappedAround) {
  DeviceJournal journal(state, DeviceRecord{0xffffffff, 1, {}});
  const Status raised = journal.raise_boot_count();
  ASSERT_FALSE(raised);
  EXPECT_EQ(raised.error().code, kErrBootCount);
}

TEST(PpkFileTest, ReadsIdsAndKeysInOrderOfPreference) {
  const auto file = PpkFile::parse(
      "# comment\n\nfirst 000102030405060708090a0b0c0d0e0f\n  second  "
      "00112233445566778899aabbccddeeff00\n");
  ASSERT_TRUE(file) << file.error().to_string();
  const auto ids = file->ids();
  ASSERT_EQ(ids.size(), 2U);
  EXPECT_EQ(ids[0], (Bytes{2, 'f', 'i', 'r', 's', 't'}));
  EXPECT_EQ(file->find(ids[1]).size(), 17U);
  EXPECT_TRUE(file->find(Bytes{2, 'x'}).empty());
}

TEST(PpkFileTest, RefusesWhatIsNoPpkByLineAndNeverRepeatsIt) {
  for (const char* text :
       {"only-an-id\n", "short 0011\n", "odd 000102030405060708090a0b0c0d0e0f0\n",
        "a 000102030405060708090a0b0c0d0e0f\na 000102030405060708090a0b0c0d0e0f\n",
        "a 000102030405060708090a0b0c0d0e0f\nb 000102030405060708090a0b0c0d0e0f\nc "
        "000102030405060708090a0b0c0d0e0f\n",
        "x zz0102030405060708090a0b0c0d0e0f\n"}) {
    const auto file = PpkFile::parse(text);
    ASSERT_FALSE(file) << text;
    EXPECT_EQ(file.error().code, kErrPpkFile);
    EXPECT_NE(file.error().where.find("line "), std::string::npos);
    EXPECT_EQ(file.error().to_string().find("0102030405"), std::string::npos);
  }
}

TEST(StateFileTest, FramesAndUnframes) {
  const Bytes payload{1, 2, 3};
  EXPECT_EQ(*unframe_state("pins", frame_state("pins", payload)), payload);
  EXPECT_EQ(*unframe_state("pins", frame_state("pins", {})), Bytes{});
  EXPECT_FALSE(unframe_state("pins", as_bytes("something else entirely, long enough to be read")));
}

}  // namespace
}  // namespace cygnet::agent
