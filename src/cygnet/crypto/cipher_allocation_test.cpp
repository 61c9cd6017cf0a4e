// SPDX-License-Identifier: Apache-2.0
// Packets must not cost allocations. A binary of its own, because OpenSSL takes memory functions
// only before it first allocates.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "cygnet/crypto/cipher.h"

namespace {

// Plain and global: operator new may run before any object of ours exists.
std::size_t allocations = 0;

void* counted_malloc(std::size_t size, const char* /*file*/, int /*line*/) {
  ++allocations;
  return std::malloc(size);
}
void* counted_realloc(void* old, std::size_t size, const char* /*file*/, int /*line*/) {
  ++allocations;
  return std::realloc(old, size);
}
void counted_free(void* old, const char* /*file*/, int /*line*/) { std::free(old); }

const bool installed = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;

}  // namespace

// Not inlined: g++ would see malloc and delete side by side and call them mismatched.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

namespace cygnet::crypto {
namespace {

/// Allocations of 100 packets sealed, opened and refused, after the first ones.
std::size_t allocations_of(const EspSuite& suite) {
  auto made = PacketCipher::create(suite, Bytes(suite.encr_key_length(), 1),
                                   Bytes(suite.integ_key_length(), 2));
  EXPECT_TRUE(made.has_value());
  PacketCipher& cipher = **made;
  const Bytes aad(8, 3);
  const Bytes iv(suite.iv_length(), 4);
  Bytes text(1408, 5);
  Bytes icv(suite.icv_length());
  const auto round = [&] {
    const bool sealed = cipher.seal(aad, iv, text, {}, icv);
    const bool opened = cipher.open(aad, iv, text, {}, icv);
    return sealed && opened && !cipher.open(aad, iv, text, {}, icv);
  };
  bool good = round();
  const std::size_t before = allocations;
  for (int i = 0; i < 100; ++i) good = round() && good;
  const std::size_t after = allocations;
  EXPECT_TRUE(good);
  return after - before;
}

TEST(PacketCipherAllocation, TheCounterCountsBothKinds) {
  ASSERT_TRUE(installed);
  std::size_t before = allocations;
  // Called by name: a compiler may leave out the allocation of a new-expression.
  ::operator delete(::operator new(1));
  EXPECT_GT(allocations, before);
  before = allocations;
  OPENSSL_free(OPENSSL_malloc(1));
  EXPECT_GT(allocations, before);
}

TEST(PacketCipherAllocation, AnAeadAllocatesNothingForAPacket) {
  EXPECT_EQ(allocations_of({EncrId::kAesGcm16, 128, IntegId::kNone}), 0U);
  EXPECT_EQ(allocations_of({EncrId::kAesGcm16, 256, IntegId::kNone}), 0U);
  EXPECT_EQ(allocations_of({EncrId::kChaCha20Poly1305, 256, IntegId::kNone}), 0U);
}

TEST(PacketCipherAllocation, CbcAllocatesOnlyOpensslsTwoDigestStatesForAnHmac) {
  // OpenSSL 3.0 copies the inner and the outer digest state of an HMAC into new memory each time.
  EXPECT_LE(allocations_of({EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128}), 2U * 300U);
}

}  // namespace
}  // namespace cygnet::crypto
