// SPDX-License-Identifier: Apache-2.0
/// Encapsulation and decapsulation alone: batches of packets through the SAs of the userspace data
/// plane, without I/O, beside the cipher library's own calls and memcpy. `./dev bench esp` runs it,
/// several times and interleaved, and works out the ratios.
///
///   esp_bench                            all of them (Google Benchmark's options apply)
///   esp_bench --count NAME PACKETS       runs one so many times and nothing else, to be counted
///                                        by an instruction counter

#include <benchmark/benchmark.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif
#ifdef CYGNET_BENCH_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cygnet/agent/backend/userspace/sa.h"
#include "cygnet/base/assert.h"
#include "cygnet/crypto/random.h"

namespace cygnet::bench {
namespace {

using agent::userspace::SaPair;

constexpr std::size_t kBatch = 32;

std::uint64_t cycles() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return 0;
#endif
}

/// Packets of one size, each in a buffer of its own with room for any header and trailer.
class Buffers {
 public:
  explicit Buffers(std::size_t payload)
      : stride_((payload + 256 + 63) / 64 * 64), octets_(stride_ * kBatch) {
    for (std::size_t i = 0; i < octets_.size(); ++i) octets_[i] = static_cast<std::uint8_t>(i);
  }
  [[nodiscard]] MutableByteView operator[](std::size_t i) {
    return MutableByteView(octets_).subspan(i * stride_, stride_);
  }

 private:
  std::size_t stride_;
  Bytes octets_;
};

/// What is measured: prepare() is not, run() is; both handle one batch.
struct Subject {
  std::string name;
  std::size_t payload = 0;
  std::function<void()> prepare;
  std::function<void()> run;
};

/// An SA pair whose two ends are this process: what it seals it can open.
std::shared_ptr<SaPair> make_pair(const crypto::EspSuite& suite) {
  agent::SaPairSpec spec;
  spec.suite = suite;
  auto& lane = spec.lanes.emplace_back(
      agent::LaneSpec{*proto::Spi::from(0x1000), *proto::Spi::from(0x1000), {}, {}, {}, {}});
  const auto key = [](std::size_t length) {
    SecretBytes secret(length);
    for (std::size_t i = 0; i < length; ++i) {
      secret.reveal_mutable()[i] = static_cast<std::uint8_t>(7 * i + 1);
    }
    return secret;
  };
  lane.inbound_encr = key(suite.encr_key_length());
  lane.outbound_encr = key(suite.encr_key_length());
  lane.inbound_integ = key(suite.integ_key_length());
  lane.outbound_integ = key(suite.integ_key_length());
  auto pair = agent::userspace::make_sa_pair(std::move(spec), crypto::system_random());
  CYGNET_ASSERT(pair.has_value());
  return std::move(*pair);
}

void seal_batch(SaPair& pair, Buffers& buffers, std::size_t payload) {
  agent::userspace::OutboundSa& sa = *pair.outbound[0];
  for (std::size_t i = 0; i < kBatch; ++i) {
    const auto sequence = agent::userspace::take_sequence(sa);
    const auto sealed =
        esp::seal_in_place(sa.format, *sa.cipher,
                           {sa.spi.value(), *sequence, sa.iv.next(*sequence), esp::kNextHeaderIpv4},
                           buffers[i], payload);
    CYGNET_ASSERT(sealed.has_value());
    ++sa.counters.packets;
    sa.counters.octets += payload;
  }
}

void open_batch(SaPair& pair, Buffers& buffers, std::size_t payload) {
  agent::userspace::InboundSa& sa = *pair.inbound[0];
  const std::size_t length = sa.format.packet_length(payload);
  for (std::size_t i = 0; i < kBatch; ++i) {
    const MutableByteView packet = buffers[i].first(length);
    const auto header = esp::read_clear_header(sa.format, packet);
    const std::uint64_t sequence = sa.window.infer(header->sequence_low);
    const bool fresh = sa.window.check(sequence);
    const auto verified = esp::verify_in_place(sa.format, *sa.cipher, sequence, packet);
    CYGNET_ASSERT(fresh && verified.has_value());
    sa.window.update(sequence);
    const auto trailer = esp::read_trailer(sa.format, packet);
    CYGNET_ASSERT(trailer.has_value() && trailer->payload_length == payload);
    ++sa.counters.packets;
    sa.counters.octets += payload;
  }
}

#ifdef CYGNET_BENCH_IPSEC_MB
/// The same octets through the library's direct calls, and nothing else.
class Library {
 public:
  explicit Library(std::size_t key_bits) : manager_(alloc_mb_mgr(0)), long_(key_bits == 256) {
    init_mb_mgr_auto(manager_, nullptr);
    const std::array<std::uint8_t, 32> key{1, 2, 3};
    long_ ? IMB_AES256_GCM_PRE(manager_, key.data(), &key_)
          : IMB_AES128_GCM_PRE(manager_, key.data(), &key_);
  }
  ~Library() { free_mb_mgr(manager_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  void batch(bool encrypt, Buffers& buffers, std::size_t text) {
    const auto call = long_ ? (encrypt ? manager_->gcm256_enc : manager_->gcm256_dec)
                            : (encrypt ? manager_->gcm128_enc : manager_->gcm128_dec);
    for (std::size_t i = 0; i < kBatch; ++i) {
      std::uint8_t* const at = buffers[i].data() + 16;
      call(&key_, &context_, at, at, text, nonce_.data(), buffers[i].data(), 12, at + text, 16);
    }
  }

 private:
  IMB_MGR* manager_;
  bool long_;
  alignas(64) gcm_key_data key_{};
  gcm_context_data context_{};
  std::array<std::uint8_t, 12> nonce_{};
};
#endif

std::vector<Subject> subjects() {
  using crypto::EncrId;
  using crypto::IntegId;
  const std::vector<std::pair<std::string, crypto::EspSuite>> suites = {
      {"aes-gcm-16-128", {EncrId::kAesGcm16, 128, IntegId::kNone}},
      {"aes-gcm-16-256", {EncrId::kAesGcm16, 256, IntegId::kNone}},
      {"chacha20-poly1305", {EncrId::kChaCha20Poly1305, 256, IntegId::kNone}},
      {"aes-cbc-128+hmac-sha2-256-128", {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128}},
  };
  std::vector<Subject> out;
  for (const std::size_t payload : {64U, 512U, 1400U}) {
    const std::string size = "/" + std::to_string(payload);
    for (const auto& [name, suite] : suites) {
      const auto pair = make_pair(suite);
      const auto buffers = std::make_shared<Buffers>(payload);
      out.push_back(
          {"seal/" + name + size, payload, [] {}, [=] { seal_batch(*pair, *buffers, payload); }});
      out.push_back({"open/" + name + size, payload, [=] { seal_batch(*pair, *buffers, payload); },
                     [=] { open_batch(*pair, *buffers, payload); }});
#ifdef CYGNET_BENCH_IPSEC_MB
      if (suite.encr != EncrId::kAesGcm16) continue;
      const auto library = std::make_shared<Library>(suite.key_bits);
      const std::size_t text = payload + pair->outbound[0]->format.pad_length(payload) + 2;
      out.push_back({"library-seal/" + name + size, payload, [] {},
                     [=] { library->batch(true, *buffers, text); }});
      out.push_back({"library-open/" + name + size, payload, [] {},
                     [=] { library->batch(false, *buffers, text); }});
#endif
    }
    const auto from = std::make_shared<Buffers>(payload);
    const auto to = std::make_shared<Buffers>(payload);
    out.push_back({"memcpy" + size, payload, [] {},
                   [=] {
                     for (std::size_t i = 0; i < kBatch; ++i) {
                       std::memcpy((*to)[i].data(), (*from)[i].data(), payload);
                       benchmark::DoNotOptimize((*to)[i].data());
                     }
                   }});
  }
  return out;
}

void measure(benchmark::State& state, const Subject& subject) {
  std::uint64_t spent = 0;
  for (auto _ : state) {
    subject.prepare();
    const auto began = std::chrono::steady_clock::now();
    const std::uint64_t cycles_began = cycles();
    subject.run();
    spent += cycles() - cycles_began;
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  }
  const auto packets = static_cast<double>(state.iterations()) * kBatch;
  state.SetItemsProcessed(static_cast<std::int64_t>(packets));
  state.SetBytesProcessed(static_cast<std::int64_t>(packets) *
                          static_cast<std::int64_t>(subject.payload));
  state.counters["cycles_a_packet"] = static_cast<double>(spent) / packets;
}

int count(const std::vector<Subject>& all, const std::string& name, std::size_t packets) {
  for (const Subject& subject : all) {
    if (subject.name != name) continue;
    for (std::size_t i = 0; i < packets / kBatch; ++i) {
      subject.prepare();
      subject.run();
    }
    return 0;
  }
  std::fprintf(stderr, "esp_bench: nothing is called '%s'; --benchmark_list_tests lists them\n",
               name.c_str());
  return 2;
}

}  // namespace
}  // namespace cygnet::bench

int main(int argc, char** argv) {
  const auto subjects = cygnet::bench::subjects();
  if (argc == 4 && std::string(argv[1]) == "--count") {
    return cygnet::bench::count(subjects, argv[2], std::strtoul(argv[3], nullptr, 10));
  }
  for (const auto& subject : subjects) {
    benchmark::RegisterBenchmark(subject.name.c_str(), [&subject](benchmark::State& state) {
      cygnet::bench::measure(state, subject);
    })->UseManualTime();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
