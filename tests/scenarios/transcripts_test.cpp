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
