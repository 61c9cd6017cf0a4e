// SPDX-License-Identifier: Apache-2.0

/// The draft's Figures 2, 3 and 4, and what lies between them, as transcripts of the production
/// machines. A change of behaviour shows as a change of a page that people can read.
/// `transcripts_test --rewrite` writes the pages anew.

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "checkers.h"
#include "play.h"

namespace cygnet::scenarios {
namespace {

bool g_rewrite = false;

void compare(const Play& play, const std::string& name, const std::string& title) {
  ASSERT_EQ(play.failure(), "");
  const std::string text = title + "\n" + std::string(title.size(), '=') + "\n" + play.text();
  const auto path = std::filesystem::path(CYGNET_GOLDEN_DIR) / (name + ".txt");
  if (g_rewrite) {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream file(path);
  ASSERT_TRUE(file) << path << " is missing; write it with --rewrite and read it";
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(golden.str(), text) << "run with --rewrite, and read what changed";
}

/// Both have drawn and published.
void publish(Play& play, std::size_t device) {
  play.act(Act::kRekey, device);
  play.installed(device);
}

TEST(Transcript, Figure2) {
  Play play(stage(false));
  play.say("Each device draws its own DH pair and distributes it to the controller.");
  play.act(Act::kDrawn, kA);
  play.act(Act::kDurable, kA);
  play.act(Act::kDrawn, kB);
  play.act(Act::kDurable, kB);
  play.show();
  play.say(
      "The controller forwards each to the other, which makes one outbound and one inbound SA.");
  play.act(Act::kDim, kA);
  play.installed(kA);
  play.act(Act::kDim, kB);
  play.installed(kB);
  play.show();
  play.say("The delivery marks say that the other end is ready, so both may transmit (Start).");
  play.act(Act::kMark, kA);
  play.act(Act::kMark, kB);
  play.packet(kA);
  play.packet(kB);
  play.rest();
  play.show();
  compare(play, "figure_2", "Figure 2: initial SAs between two peers");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# A creates a new outbound IPsec SA to communicate with B labelled Tx(a2-b1), and a new inbound
//# IPsec SA labelled Rx(b1-a2). A continues to transmit on Tx(a1-b1)
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# 2. A distributes the new public value (a2-pub) to the Controller who forwards it to A's
//# authorized peers, which includes B. During this time, both A and B continue to use the initial
//# IPsec SAs setup between them using a1 and b1.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# 3. When B receives a2 from the controller, B follows Rule 2 by creating Tx(b1-a2), Rx(a2-b1). B
//# also follows the outbound SA decision process, which causes it to change its outbound IPsec SA
//# to A to Tx(b1-a2).
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# 4. When A receives a packet protected by Rx(b1-a2), it follows Rule 3 and performs the outbound
//# SA decision process. This causes it to change its outbound IPsec SA to Use Tx(a2-b1). It also
//# optionally shortens the lifetime of the old IPsec SAs shared with this peer.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# 5. When B receives a packet protected by Tx(a2-b1), it follows Rule 4, in which it may shorten
//# the lifetime of the old IPsec SAs shared with this peer using DH pairs that are no longer in
//# use.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# At the end of the rekey, both A and B retain a single DH pair, and a single set of IPsec SAs
//# between them.
TEST(Transcript, Figure3) {
  Play play(stage(true));
  play.show();
  play.say(
      "1. Rule 1: A makes SAs of its new DH value and b1, and goes on transmitting on the old.");
  publish(play, kA);
  play.packet(kA);
  play.show();
  play.say("2. A distributes a2. Both go on using a1 and b1.");
  play.act(Act::kDurable, kA);
  play.packet(kA);
  play.packet(kB);
  play.say("3. B receives a2 and follows Rule 2: it transmits on Tx(b1-a2).");
  play.act(Act::kDim, kB);
  play.installed(kB);
  play.show();
  play.say("4. A hears Rx(b1-a2), Rule 3: it transmits on Tx(a2-b1), its old SAs drain.");
  play.packet(kB);
  play.show();
  play.say("5. B hears Rx(a2-b1), Rule 4: its SAs with a1 drain.");
  play.packet(kA);
  play.show();
  play.say("At the end: one DH pair each, one set of SAs between them.");
  play.rest();
  play.show();
  compare(play, "figure_3", "Figure 3: a single device rekeys");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# A and B continue to transmit on IPsec SAs previously created from DH pairs "a1" and "b1".
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# 2. A distributes the new public value (a2-pub) to the Controller who forwards it to A's
//# authorized peers, which includes B. B also distributes the new public value (b2-pub) to the
//# Controller who forwards it to B's authorized peers, which includes A.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# I.e., A begins transmitting on Tx(a1-b2) and B begins transmitting on Tx(b1-a2).
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# This allows A to follow Rule 3 and change its outbound IPsec SA to Use Tx(a2-b2).
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# A shortens the lifetime of SAs based on a1. B shortens the lifetime of SAs based on b1.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# 6. When A and B receive a packet protected by the remote peer's latest DH pair, they shorten the
//# lifetime of SAs based on the remote peer's unused DH pair.
TEST(Transcript, Figure4) {
  Play play(stage(true));
  play.show();
  play.say("1. Rule 1 on both sides; both go on transmitting on the SAs of a1 and b1.");
  publish(play, kA);
  publish(play, kB);
  play.packet(kA);
  play.packet(kB);
  play.show();
  play.say("2. Both distribute.");
  play.act(Act::kDurable, kA);
  play.act(Act::kDurable, kB);
  play.say("3. Each receives the other's, Rule 2: two more pairs, and it transmits old × new.");
  play.act(Act::kDim, kA);
  play.installed(kA);
  play.act(Act::kDim, kB);
  play.installed(kB);
  play.show();
  play.say("4., 5. Each hears the other use its new DH value, Rule 3: it transmits new × new.");
  play.packet(kA);
  play.packet(kB);
  play.show();
  play.say("6. Each hears the other's new DH value, Rule 4; what is left drains.");
  play.packet(kA);
  play.packet(kB);
  play.rest();
  play.show();
  compare(play, "figure_4", "Figure 4: both devices rekey at the same time");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# Note that it is also possible that A will receive a packet protected by Rx(b2-a2) or B will
//# receive a packet protected by Rx(a2-b2), and then knows it can transmit on an IPsec SA using
//# both of the new DH pairs.
TEST(Transcript, Figure4WhenTheFirstPacketHeardIsNewTimesNew) {
  Play play(stage(true));
  play.say("Both rekey; both DIMs are delivered; B's packets before that are lost.");
  publish(play, kA);
  publish(play, kB);
  play.act(Act::kDurable, kA);
  play.act(Act::kDurable, kB);
  play.act(Act::kDim, kA);
  play.installed(kA);
  play.act(Act::kDim, kB);
  play.installed(kB);
  play.say("B hears A on Rx(a1-b2) and moves to new × new.");
  play.packet(kA);
  play.show();
  play.say("So the first packet that A hears is protected by both new DH pairs.");
  play.packet(kB);
  play.show();
  play.packet(kA);
  play.rest();
  play.show();
  compare(play, "figure_4_new_pair_first", "Figure 4, step 4, last sentence");
}

TEST(Transcript, OneRekeyBeginsInTheMidstOfTheOther) {
  Play play(stage(true));
  play.say("A rekeys; B has taken a2 but is not heard on it yet.");
  publish(play, kA);
  play.act(Act::kDurable, kA);
  play.act(Act::kDim, kB);
  play.installed(kB);
  play.say("Now B rekeys: it combines b2 with both DH values of A that it knows.");
  publish(play, kB);
  play.show();
  play.act(Act::kDurable, kB);
  play.act(Act::kDim, kA);
  play.installed(kA);
  play.show();
  play.say("Packets on old × new cross.");
  play.packet(kB);
  play.packet(kA);
  play.show();
  play.packet(kB);
  play.packet(kA);
  play.rest();
  play.show();
  compare(play, "overlap_midway", "Overlap: B rekeys in the midst of A's rekey");
}

TEST(Transcript, AThirdGenerationWaits) {
  Play play(stage(true));
  play.say("A rekeys, and is told to rekey again before B has a2: that waits.");
  publish(play, kA);
  play.act(Act::kRekey, kA);
  play.act(Act::kDurable, kA);
  play.act(Act::kDim, kB);
  play.installed(kB);
  play.show();
  play.say("B has a2 and uses it; the mark says so. One drain later a3 may be drawn.");
  play.act(Act::kMark, kA);
  play.packet(kB);
  play.packet(kA);
  play.rest();
  play.show();
  compare(play, "overlap_third", "Overlap: a third generation waits for the second");
}

TEST(Transcript, ASilentPeerIsAsked) {
  Play play(stage(true));
  play.say("A rekeys; nobody has a user packet. Probes take the place of packets (AMB-02).");
  publish(play, kA);
  play.act(Act::kDurable, kA);
  play.rest();
  play.show();
  compare(play, "probes", "A rekey with nothing to send");
}

}  // namespace
}  // namespace cygnet::scenarios

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--rewrite") == 0) cygnet::scenarios::g_rewrite = true;
  }
  return RUN_ALL_TESTS();
}
