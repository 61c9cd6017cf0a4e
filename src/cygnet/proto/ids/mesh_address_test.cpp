// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/ids/mesh_address.h"

#include <gtest/gtest.h>

namespace cygnet::proto {
namespace {

crypto::MeshId counting_mesh() {
  crypto::MeshId mesh{};
  for (std::size_t i = 0; i < mesh.size(); ++i) mesh[i] = static_cast<std::uint8_t>(i);
  return mesh;
}
constexpr const char* kMeshText = "000102030405060708090a0b0c0d0e0f";

TEST(MeshIds, ComeBackFromTheirText) {
  EXPECT_EQ(mesh_id_text(counting_mesh()), kMeshText);
  EXPECT_EQ(mesh_id_from_text(kMeshText).value(), counting_mesh());
  for (const char* bad :
       {"", "00", "000102030405060708090a0b0c0d0e0f00", "000102030405060708090a0b0c0d0e0g"}) {
    EXPECT_EQ(mesh_id_from_text(bad).error().code, kErrMeshId) << bad;
  }
}

// Expected values: python3 -c "import hashlib; print(hashlib.sha256(b'cygnet-mesh' +
// bytes(range(16))).hexdigest()[:10], hashlib.sha256(b'cygnet-dev' + bytes(range(16)) +
// b'alpha.mesh').hexdigest()[:16])"
TEST(MeshAddresses, AreHashesOfMeshAndName) {
  const MeshAddress address = mesh_address(counting_mesh(), DeviceName("alpha.mesh"));
  EXPECT_EQ(to_hex(address),
            "fd"
            "6df76468df"
            "0000"
            "9f154b9c5ca0e155");
  EXPECT_EQ(to_hex(mesh_prefix(counting_mesh())),
            "fd"
            "6df76468df"
            "00000000000000000000");
}

TEST(MeshAddresses, DifferByMeshAndByDevice) {
  crypto::MeshId other = counting_mesh();
  other[0] ^= 1;
  const DeviceName alpha("alpha.mesh");
  EXPECT_NE(mesh_address(counting_mesh(), alpha), mesh_address(other, alpha));
  EXPECT_NE(mesh_address(counting_mesh(), alpha),
            mesh_address(counting_mesh(), DeviceName("beta.mesh")));
}

TEST(MeshAddresses, AreWrittenAsRfc5952Asks) {
  const auto text = [](const char* hex) {
    MeshAddress address{};
    const Bytes octets = from_hex(hex).value();
    std::copy(octets.begin(), octets.end(), address.begin());
    return address_text(address);
  };
  EXPECT_EQ(text("fd00000000000000000000000000000a"), "fd00::a");
  EXPECT_EQ(text("00000000000000000000000000000000"), "::");
  EXPECT_EQ(text("00000000000000000000000000000001"), "::1");
  EXPECT_EQ(text("fd000000000000000000000000000000"), "fd00::");
  EXPECT_EQ(text("20010db8000000010001000100010001"), "2001:db8:0:1:1:1:1:1");
  EXPECT_EQ(text("20010db8000000000001000000000001"), "2001:db8::1:0:0:1");
  EXPECT_EQ(text("20010000000000010000000000000001"), "2001:0:0:1::1");
}

class LeafIdentity : public testing::Test {
 protected:
  static Result<DeviceIdentity> read(const std::vector<std::string>& dns,
                                     const std::vector<std::string>& uri) {
    const auto key = crypto::IdentityKey::generate(crypto::KeyType::kEd25519);
    crypto::CertificateSpec spec;
    spec.spki = key->spki();
    spec.common_name = "leaf";
    spec.dns_sans = dns;
    spec.uri_sans = uri;
    spec.not_after = ServerTime(std::chrono::hours(24));
    const auto leaf = crypto::issue(spec, *key, std::nullopt);
    EXPECT_TRUE(leaf.has_value());
    return identity_of_leaf(*leaf);
  }
  static std::string uri(const char* name) {
    return identity_uri(counting_mesh(), DeviceName(std::string(name) + ".corp"));
  }
};

TEST_F(LeafIdentity, IsReadFromBothNames) {
  EXPECT_EQ(uri("hub-1"), std::string("cygnet://") + kMeshText + "/hub-1");
  const auto identity = read({"hub-1.corp"}, {uri("hub-1")});
  ASSERT_TRUE(identity.has_value()) << identity.error().to_string();
  EXPECT_EQ(identity->mesh, counting_mesh());
  EXPECT_EQ(identity->device, DeviceName("hub-1.corp"));
}

TEST_F(LeafIdentity, IsRefusedWhenTheNamesSayAnythingElse) {
  const std::string good = uri("hub-1");
  const auto code = [](const Result<DeviceIdentity>& result) {
    return result ? std::string_view("none") : result.error().code.name();
  };
  const auto expected = kErrCertificateIdentity.name();
  EXPECT_EQ(code(read({}, {good})), expected);
  EXPECT_EQ(code(read({"hub-1.corp"}, {})), expected);
  EXPECT_EQ(code(read({"hub-1.corp", "hub-2.corp"}, {good})), expected);
  EXPECT_EQ(code(read({"hub-1.corp"}, {good, uri("hub-2")})), expected);
  EXPECT_EQ(code(read({"hub-1.corp"}, {uri("hub-2")})), expected);
  EXPECT_EQ(code(read({"hub-1"}, {good})), expected);
  EXPECT_EQ(code(read({"hub-1.corp"}, {good + "/x"})), expected);
  EXPECT_EQ(code(read({"hub-1.corp"}, {"cygnet://00/hub-1"})), expected);
  EXPECT_EQ(code(read({"hub-1.corp"}, {"https://" + good.substr(9)})), expected);
  EXPECT_EQ(code(read({"hub-1.corp"}, {"cygnet://000102030405060708090A0B0C0D0E0F/hub-1"})),
            expected);
}

}  // namespace
}  // namespace cygnet::proto
