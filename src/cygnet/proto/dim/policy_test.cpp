// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "cygnet/proto/dim/dim_test_support.h"

namespace cygnet::proto {
namespace {

TEST(PolicyText, EveryCombinationComesBackAsItWasWritten) {
  std::set<std::string> seen;
  for (const char* cipher : {"aes128gcm16", "aes256gcm16", "chacha20poly1305", "aes128-sha256",
                             "aes128-sha384", "aes256-sha256", "aes256-sha384", "aes256-sha512"}) {
    for (const char* group :
         {"x25519", "x448", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096"}) {
      for (const char* prf : {"sha256", "sha384", "sha512"}) {
        for (const char* suffix :
             {"", "-noesn", "-transport", "-beet", "-aggfrag", "-noesn-transport", "-noesn-beet"}) {
          const std::string text = std::string(cipher) + "-" + group + "-" + prf + suffix;
          const auto result = policy_from_text(text);
          ASSERT_TRUE(result.has_value()) << result.error().to_string();
          EXPECT_EQ(to_string(*result), text);
          EXPECT_EQ(interpret(make_proposal(1, *result)), *result);
          seen.insert(text);
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), 8U * 8 * 3 * 7);
}

TEST(PolicyText, SaysWhatItDoesNotUnderstandAndWhatMayStandThere) {
  const auto refusal = [](const char* text) {
    const auto result = policy_from_text(text);
    EXPECT_FALSE(result.has_value()) << text;
    return result ? std::string() : result.error().to_string();
  };
  EXPECT_NE(refusal("").find("is no cipher"), std::string::npos);
  EXPECT_NE(refusal("aes192gcm16-x25519-sha256").find("\"aes192gcm16\" is no cipher"),
            std::string::npos);
  EXPECT_NE(refusal("aes256-x25519-sha256").find("\"x25519\" is no integrity"), std::string::npos);
  EXPECT_NE(refusal("aes256gcm16-sha256-x25519").find("\"sha256\" is no key exchange group"),
            std::string::npos);
  EXPECT_NE(refusal("aes256gcm16-x25519").find("\"\" is no PRF"), std::string::npos);
  EXPECT_NE(refusal("aes256gcm16-x25519-sha1").find("sha256, sha384, sha512"), std::string::npos);
  EXPECT_NE(refusal("aes256gcm16-x25519-sha256-tunnel").find("is no suffix"), std::string::npos);
  EXPECT_NE(refusal("aes256gcm16-x25519-sha256-transport-noesn").find("is no suffix"),
            std::string::npos);
  EXPECT_NE(refusal("aes256gcm16-x25519-sha256-").find("is no suffix"), std::string::npos);
  EXPECT_NE(refusal("AES256GCM16-x25519-sha256").find("is no cipher"), std::string::npos);
}

TEST(Interpret, NeedsEveryMandatoryTransform) {
  const Proposal whole = make_proposal(1, test::policy("aes256-sha256-x25519-sha256"));
  ASSERT_TRUE(interpret(whole).has_value());
  for (std::size_t i = 0; i < whole.transforms.size(); ++i) {
    Proposal lacking = whole;
    lacking.transforms.erase(lacking.transforms.begin() + static_cast<long>(i));
    EXPECT_FALSE(interpret(lacking).has_value()) << "without transform " << i;
  }
}

TEST(Interpret, TransformNumbersAreThoseOfIana) {
  const Proposal p = make_proposal(3, test::policy("aes128-sha512-ecp521-sha384-noesn-beet"));
  const std::vector<Transform> expected = {{1, 12, 128, {}}, {3, 14, {}, {}}, {4, 21, {}, {}},
                                           {5, 0, {}, {}},   {2, 6, {}, {}},  {241, 3, {}, {}}};
  EXPECT_EQ(p.number, 3);
  EXPECT_EQ(p.transforms, expected);
}

}  // namespace
}  // namespace cygnet::proto
