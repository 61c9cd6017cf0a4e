// SPDX-License-Identifier: Apache-2.0
// Keying at fleet scale, one measurement a run; tools/bench/keying.py makes rounds and medians of
// them. Prints one line of JSON.
//
//   keying_bench derive | rekey-lazy N | rekey-eager N | memory N | idle N | dims N

#include "keying_fleet.h"

namespace cygnet::bench {
namespace {

Bytes plain_hmac(ByteView key, ByteView data) {
  Bytes out(32);
  unsigned length = 0;
  must(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data.data(), data.size(),
            out.data(), &length) != nullptr,
       "OpenSSL refused");
  return out;
}

Bytes plain_prf_plus(ByteView key, ByteView seed, std::size_t length) {
  Bytes out;
  Bytes block;
  for (std::uint8_t i = 1; out.size() < length; ++i) {
    const Bytes input = concat({block, seed, ByteView(&i, 1)});
    block = plain_hmac(key, input);
    out.insert(out.end(), block.begin(), block.end());
  }
  out.resize(length);
  return out;
}

/// KEYMAT of two AES-GCM-256 keys as whoever calls OpenSSL step by step gets it: the own private
/// value decoded once, everything else anew.
Bytes plain_derivation(EVP_PKEY* own, ByteView ni, ByteView nr, ByteView peer_public) {
  EVP_PKEY* peer =
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer_public.data(), peer_public.size());
  must(peer != nullptr, "OpenSSL refused");
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(own, nullptr);
  Bytes shared(32);
  std::size_t length = shared.size();
  must(context != nullptr && EVP_PKEY_derive_init(context) == 1 &&
           EVP_PKEY_derive_set_peer(context, peer) == 1 &&
           EVP_PKEY_derive(context, shared.data(), &length) == 1,
       "OpenSSL refused");
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(peer);
  const Bytes nonces = concat({ni, nr});
  const Bytes spi_seed = concat({as_bytes("SPI generation"), Bytes{1, 1}});
  const Bytes spis = plain_prf_plus(nonces, spi_seed, 8);
  const Bytes skeyseed = plain_hmac(nonces, shared);
  const Bytes sk_d = plain_prf_plus(skeyseed, concat({nonces, spis}), 32);
  return plain_prf_plus(sk_d, nonces, 72);
}

}  // namespace

std::string derivations() {
  constexpr std::size_t kPeers = 200;
  constexpr int kTurns = 5;
  const Fleet fleet;
  const auto own_private = must(crypto::DhPrivate::generate(crypto::DhGroup::kX25519));
  const proto::Dim own = fleet.dim(0, own_private);
  std::vector<proto::Dim> peers;
  std::vector<proto::Agreement> agreements;
  for (std::size_t i = 1; i <= kPeers; ++i) {
    const auto dh = must(crypto::DhPrivate::generate(crypto::DhGroup::kX25519));
    peers.push_back(fleet.dim(i, dh));
    agreements.push_back(must(proto::negotiate(own, peers.back())));
  }
  EVP_PKEY* const plain = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  must(plain != nullptr, "OpenSSL refused");
  double ours = 0, theirs = 0, claims = 0, dh = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    double begun = thread_ms();
    for (std::size_t i = 0; i < kPeers; ++i) {
      const auto spec = must(
          agent::derive_pair({proto::PeerId(1), own, peers[i], agreements[i]}, own_private, {}));
      must(spec.lanes.size() == 1, "no lane");
    }
    ours += thread_ms() - begun;
    begun = thread_ms();
    for (std::size_t i = 0; i < kPeers; ++i) {
      must(plain_derivation(plain, own.nonce, peers[i].nonce, peers[i].kes[0].value).size() == 72,
           "too few keys");
    }
    theirs += thread_ms() - begun;
    begun = thread_ms();
    for (std::size_t i = 0; i < kPeers; ++i) {
      must(own_private.derive(peers[i].kes[0].value).has_value(), "no shared secret");
    }
    dh += thread_ms() - begun;
    begun = thread_ms();
    for (std::size_t i = 0; i < kPeers; ++i) {
      const auto claim = must(agent::claim_pair({proto::PeerId(1), own, peers[i], agreements[i]}));
      must(claim.spis.size() == 1, "no lane");
    }
    claims += thread_ms() - begun;
  }
  EVP_PKEY_free(plain);
  constexpr double kAll = kPeers * kTurns * 1e3;
  return "{\"pairs_per_s\":" + number(kAll / ours) +
         ",\"openssl_one_by_one_per_s\":" + number(kAll / theirs) +
         ",\"ratio\":" + number(theirs / ours) + ",\"shared_secrets_per_s\":" + number(kAll / dh) +
         ",\"claims_per_s\":" + number(kAll / claims) + "}";
}

}  // namespace cygnet::bench

int main(int argc, char** argv) {
  using namespace cygnet::bench;
  const std::string what = argc > 1 ? argv[1] : "";
  const std::size_t n = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
  std::string json;
  if (what == "derive") {
    json = derivations();
  } else if (n == 0) {
    std::fprintf(stderr,
                 "keying_bench: derive, or one of rekey-lazy, rekey-eager, memory, idle, "
                 "dims and a number of peers\n");
    return 2;
  } else if (what == "rekey-lazy" || what == "rekey-eager") {
    json = own_rekey(n, what == "rekey-eager");
  } else if (what == "memory") {
    json = memory(n);
  } else if (what == "idle") {
    json = idle_rekey(n);
  } else if (what == "dims") {
    json = dims_at_once(n);
  } else {
    std::fprintf(stderr, "keying_bench: it measures no '%s'\n", what.c_str());
    return 2;
  }
  std::puts(json.c_str());
  return 0;
}
