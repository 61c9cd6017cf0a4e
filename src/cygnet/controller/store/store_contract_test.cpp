// SPDX-License-Identifier: Apache-2.0
// The promises of store.h and write_batch.h, held against every engine.
#include <thread>

#include "cygnet/controller/store/fault_engine.h"
#include "cygnet/controller/store/store_test_support.h"

namespace cygnet::controller::store {
namespace {

using std::chrono::steady_clock;

struct MemoryKind {
  std::unique_ptr<Engine> open() { return make_memory_engine(disk); }
  std::shared_ptr<MemoryDisk> disk = make_memory_disk();
};
struct SqliteKind {
  std::unique_ptr<Engine> open() {
    auto engine = open_sqlite_engine(directory.file("cygnet.db"));
    EXPECT_TRUE(engine.has_value()) << (engine ? "" : engine.error().to_string());
    return engine ? std::move(*engine) : nullptr;
  }
  TempDirectory directory;
};

template <class Kind>
class StoreContract : public ::testing::Test {
 protected:
  void SetUp() override {
    open();
    ASSERT_EQ(code_of(write(*store_, create_mesh())), "ok");
    ASSERT_EQ(code_of(write(*store_, batch(PutDevice{device("store-1")}))), "ok");
  }
  void TearDown() override {
    faults_->stop();
    store_.reset();
  }
  void open(const StoreLimits& limits = {}) {
    store_.reset();
    faults_ = std::make_shared<FaultControl>();
    auto engine = kind_.open();
    ASSERT_TRUE(engine);
    store_ = make_group_commit_store(make_fault_engine(std::move(engine), faults_), limits);
  }
  MeshState state(const MeshId& mesh = mesh_id()) {
    auto snapshot = store_->load();
    EXPECT_TRUE(snapshot) << snapshot.error().to_string();
    for (MeshState& each : snapshot->meshes) {
      if (each.mesh.id == mesh) return std::move(each);
    }
    ADD_FAILURE() << "the mesh is not there";
    return {};
  }
  MeshState reopened() {
    open();
    return state();
  }
  std::string put(WriteOp op) { return code_of(write(*store_, batch(std::move(op)))); }

  Kind kind_;
  std::shared_ptr<FaultControl> faults_;
  std::unique_ptr<Store> store_;
};

using Kinds = ::testing::Types<MemoryKind, SqliteKind>;
TYPED_TEST_SUITE(StoreContract, Kinds);

TYPED_TEST(StoreContract, EveryKindOfRecordComesBackAfterReopening) {
  DimRecord newest = dim("store-1", 0xfffffff0, 3, 1);  // a counter above 2^63
  PolicyRecord policy{{1, at_ms(7000), "admin", "first", 2}, "mesh: corp\n"};
  TokenRecord by_labels = token(2, 5);
  by_labels.device.reset();
  by_labels.labels = {{"role", "hub"}};
  RevocationRecord revocation{4, "gone", hash_of(9), {1, 2}, at_ms(8000), "stolen"};
  CsrRecord csr{"store-2", {1, 1, 1}, hash_of(3), at_ms(9000)};
  WriteBatch all{mesh_id(), {}};
  all.add(PutSetting{"ca.mode", "external"})
      .add(PutDim{newest})
      .add(PutTombstone{{"old", 2, at_ms(10)}})
      .add(PutToken{token(1)})
      .add(PutToken{by_labels})
      .add(AddRevocation{revocation})
      .add(PutPolicy{policy})
      .add(PutCsr{csr})
      .add(SetTrust{{{3, 3}, {2, 2}}})
      .add(PutCursor{{"store-1", 2}})
      .add(AppendAudit{{0, at_ms(11), "admin", "policy.apply", "corp", "{}", "{\"v\":1}"}});
  ASSERT_EQ(code_of(write(*this->store_, all)), "ok");

  const MeshState back = this->reopened();
  EXPECT_EQ(back.mesh.name, "corp");
  EXPECT_EQ(back.mesh.epoch, (Epoch{1, 2, 3}));
  EXPECT_EQ(back.mesh.created_at, at_ms(1000));
  EXPECT_EQ(back.position, 2U);
  EXPECT_EQ(back.settings, (std::map<std::string, std::string>{{"ca.mode", "external"}}));
  EXPECT_EQ(back.devices, std::vector<DeviceRecord>{device("store-1")});
  EXPECT_EQ(back.counters.at("store-1"), newest.counter);
  EXPECT_EQ(back.dims, std::vector<DimRecord>{newest});
  EXPECT_EQ(back.tombstones, (std::vector<TombstoneRecord>{{"old", 2, at_ms(10)}}));
  EXPECT_EQ(back.tokens, (std::vector<TokenRecord>{token(1), by_labels}));
  EXPECT_EQ(back.revocations, std::vector<RevocationRecord>{revocation});
  EXPECT_EQ(back.policies, std::vector<PolicyHeader>{policy.header});
  EXPECT_EQ(back.policy, policy);
  EXPECT_EQ(back.csrs, std::vector<CsrRecord>{csr});
  EXPECT_EQ(back.trust, (std::vector<Bytes>{{3, 3}, {2, 2}}));
  EXPECT_EQ(back.cursors, (std::vector<CursorRecord>{{"store-1", 2}}));
}

TYPED_TEST(StoreContract, MeshesDoNotSeeEachOther) {
  const MeshId other = mesh_id(8);
  ASSERT_EQ(code_of(write(*this->store_, create_mesh(other, "lab"))), "ok");
  ASSERT_EQ(code_of(write(*this->store_, batch(PutDevice{device("lab-1")}, other))), "ok");
  EXPECT_EQ(this->state(other).devices.size(), 1U);
  EXPECT_EQ(this->state(other).devices[0].name, "lab-1");
  EXPECT_EQ(this->state().devices[0].name, "store-1");
  EXPECT_EQ(this->state(other).position, 0U);
}

TYPED_TEST(StoreContract, AMeshIsMadeOnceAndNothingIsWrittenToOneThatIsNotThere) {
  EXPECT_EQ(code_of(write(*this->store_, create_mesh())), "store-conflict");
  EXPECT_EQ(code_of(write(*this->store_, batch(PutSetting{"a", "b"}, mesh_id(99)))),
            "store-not-found");
}

TYPED_TEST(StoreContract, ACounterNeverGoesBackNotEvenAfterTheDeviceWasDeleted) {
  EXPECT_EQ(this->put(PutDim{dim("store-1", 2, 5, 1)}), "ok");
  EXPECT_EQ(this->put(PutDim{dim("store-1", 2, 5, 2)}), "store-conflict");
  EXPECT_EQ(this->put(PutDim{dim("store-1", 1, 9, 2)}), "store-conflict");
  EXPECT_EQ(this->put(RemoveDevice{"store-1"}), "ok");
  EXPECT_EQ(this->put(PutDevice{device("store-1")}), "ok");
  EXPECT_EQ(this->put(PutDim{dim("store-1", 2, 5, 2)}), "store-conflict");
  EXPECT_EQ(this->reopened().counters.at("store-1"), proto::RekeyCounter(2, 5));
  EXPECT_EQ(this->put(PutDim{dim("store-1", 2, 6, 2)}), "ok");
}

TYPED_TEST(StoreContract, ThePositionOfTheLogOnlyRises) {
  EXPECT_EQ(this->put(AdvancePosition{10}), "ok");
  EXPECT_EQ(this->put(AdvancePosition{10}), "store-conflict");
  EXPECT_EQ(this->put(PutDim{dim("store-1", 1, 1, 9)}), "store-conflict");
  EXPECT_EQ(this->put(PutTombstone{{"x", 10, at_ms(1)}}), "store-conflict");
  EXPECT_EQ(this->put(PutDim{dim("store-1", 1, 1, 11)}), "ok");
  EXPECT_EQ(this->state().position, 11U);
}

TYPED_TEST(StoreContract, ARemovedDeviceLeavesItsTombstoneAndTakesDimCursorAndRequestWithIt) {
  ASSERT_EQ(this->put(PutDim{dim("store-1", 1, 1, 1)}), "ok");
  ASSERT_EQ(this->put(PutCursor{{"store-1", 1}}), "ok");
  ASSERT_EQ(this->put(PutCsr{{"store-1", {1}, hash_of(1), at_ms(1)}}), "ok");
  WriteBatch removal{mesh_id(), {}};
  removal.add(RemoveDevice{"store-1"}).add(PutTombstone{{"store-1", 2, at_ms(50)}});
  ASSERT_EQ(code_of(write(*this->store_, removal)), "ok");
  const MeshState gone = this->reopened();
  EXPECT_TRUE(gone.devices.empty());
  EXPECT_TRUE(gone.dims.empty());
  EXPECT_TRUE(gone.cursors.empty());
  EXPECT_TRUE(gone.csrs.empty());
  EXPECT_EQ(gone.tombstones.size(), 1U);
  EXPECT_EQ(this->put(RemoveDevice{"store-1"}), "store-not-found");
  EXPECT_EQ(this->put(PutDim{dim("store-1", 1, 2, 3)}), "store-not-found");
}

TYPED_TEST(StoreContract, ANewDimReplacesTheTombstoneAndTheOlderDim) {
  ASSERT_EQ(this->put(PutTombstone{{"store-1", 1, at_ms(50)}}), "ok");
  ASSERT_EQ(this->put(PutDim{dim("store-1", 1, 1, 2)}), "ok");
  ASSERT_EQ(this->put(PutDim{dim("store-1", 1, 2, 3)}), "ok");
  EXPECT_TRUE(this->state().tombstones.empty());
  EXPECT_EQ(this->state().dims, std::vector<DimRecord>{dim("store-1", 1, 2, 3)});
}

TYPED_TEST(StoreContract, OldTombstonesCanBeDroppedAndYoungOnesStay) {
  ASSERT_EQ(this->put(PutTombstone{{"a", 1, at_ms(50)}}), "ok");
  ASSERT_EQ(this->put(PutTombstone{{"b", 2, at_ms(60)}}), "ok");
  ASSERT_EQ(this->put(DropTombstones{at_ms(60)}), "ok");
  EXPECT_EQ(this->state().tombstones, (std::vector<TombstoneRecord>{{"b", 2, at_ms(60)}}));
}

TYPED_TEST(StoreContract, ATokenIsUsedUpExpiresAndIsOtherwiseUnknown) {
  ASSERT_EQ(this->put(PutToken{token(1, 2)}), "ok");
  EXPECT_EQ(this->put(PutToken{token(1)}), "store-conflict");
  EXPECT_EQ(this->put(UseToken{hash_of(1), at_ms(1999)}), "ok");
  EXPECT_EQ(this->put(UseToken{hash_of(1), at_ms(2000)}), "token-expired");
  EXPECT_EQ(this->put(UseToken{hash_of(1), at_ms(1999)}), "ok");
  EXPECT_EQ(this->put(UseToken{hash_of(1), at_ms(1999)}), "token-used");
  EXPECT_EQ(this->put(UseToken{hash_of(2), at_ms(1)}), "token-unknown");
  EXPECT_EQ(this->reopened().tokens[0].uses_left, 0U);
  EXPECT_EQ(this->put(RemoveToken{hash_of(1)}), "ok");
  EXPECT_EQ(this->put(RemoveToken{hash_of(1)}), "token-unknown");
  EXPECT_TRUE(this->state().tokens.empty());
}

TYPED_TEST(StoreContract, ATokenRacedForIsUsedOnce) {
  ASSERT_EQ(this->put(PutToken{token(1)}), "ok");
  this->faults_->hold(FaultControl::Point::kBeforeDurable);
  auto blocker = submit(*this->store_, batch(PutSetting{"a", "b"}));
  ASSERT_TRUE(this->faults_->wait_until_held(steady_clock::now() + kDeadline));
  // Both gather in one transaction while the first commit stands.
  auto first = submit(*this->store_, batch(UseToken{hash_of(1), at_ms(1)}));
  auto second = submit(*this->store_, batch(UseToken{hash_of(1), at_ms(1)}));
  this->faults_->release();
  EXPECT_EQ(code_of(wait(std::move(blocker))), "ok");
  EXPECT_EQ(code_of(wait(std::move(first))), "ok");
  EXPECT_EQ(code_of(wait(std::move(second))), "token-used");
}

TYPED_TEST(StoreContract, RevocationNumbersOnlyRise) {
  EXPECT_EQ(this->put(AddRevocation{{3, "a", hash_of(1), {}, at_ms(1), ""}}), "ok");
  EXPECT_EQ(this->put(AddRevocation{{3, "b", hash_of(2), {}, at_ms(1), ""}}), "store-conflict");
  EXPECT_EQ(this->put(AddRevocation{{2, "b", hash_of(2), {}, at_ms(1), ""}}), "store-conflict");
  EXPECT_EQ(this->put(AddRevocation{{4, "b", hash_of(2), {}, at_ms(1), ""}}), "ok");
  EXPECT_EQ(this->state().revocations.size(), 2U);
}

TYPED_TEST(StoreContract, PolicyVersionsHaveNoHolesAndOldOnesCanBeReadBack) {
  const auto version = [](std::uint64_t n) {
    return PutPolicy{{{n, at_ms(1), "admin", "", n}, "v" + std::to_string(n)}};
  };
  EXPECT_EQ(this->put(version(2)), "store-conflict");
  EXPECT_EQ(this->put(version(1)), "ok");
  EXPECT_EQ(this->put(version(2)), "ok");
  EXPECT_EQ(this->put(version(2)), "store-conflict");
  EXPECT_EQ(this->state().policy->yaml, "v2");
  EXPECT_EQ(this->state().policies.size(), 2U);
  const auto read = [&](std::uint64_t n) {
    std::promise<Result<PolicyRecord>> promise;
    this->store_->read_policy(mesh_id(), n, [&](auto got) { promise.set_value(std::move(got)); });
    return promise.get_future().get();
  };
  EXPECT_EQ(read(1)->yaml, "v1");
  EXPECT_EQ(read(3).error().code, kErrStoreNotFound);
  EXPECT_EQ(read(0).error().code, kErrStoreNotFound);
}

TYPED_TEST(StoreContract, TheAuditLogGrowsAndIsReadInPagesEitherWay) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(this->put(AppendAudit{{0, at_ms(i), "admin", "x", std::to_string(i), "", ""}}), "ok");
  }
  const auto read = [&](AuditQuery query) {
    query.mesh = mesh_id();
    std::promise<Result<std::vector<AuditRecord>>> promise;
    this->store_->read_audit(query, [&](auto got) { promise.set_value(std::move(got)); });
    return promise.get_future().get();
  };
  const auto first = read({{}, 0, 2, false});
  ASSERT_EQ(first->size(), 2U);
  EXPECT_EQ((*first)[0].object, "0");
  EXPECT_LT((*first)[0].id, (*first)[1].id);
  EXPECT_EQ((*read({{}, (*first)[1].id, 100, false}))[0].object, "2");
  const auto last = read({{}, 0, 2, true});
  EXPECT_EQ((*last)[0].object, "4");
  EXPECT_EQ((*read({{}, (*last)[1].id, 100, true}))[0].object, "2");
  EXPECT_EQ(read({mesh_id(), 1000000, 5, false})->size(), 0U);
}

TYPED_TEST(StoreContract, ARefusedBatchLeavesNothingOfItselfAndItsNeighboursStay) {
  this->faults_->hold(FaultControl::Point::kBeforeDurable);
  auto blocker = submit(*this->store_, batch(PutSetting{"blocker", "1"}));
  ASSERT_TRUE(this->faults_->wait_until_held(steady_clock::now() + kDeadline));
  auto before = submit(*this->store_, batch(PutSetting{"before", "1"}));
  WriteBatch bad{mesh_id(), {}};
  bad.add(PutSetting{"half", "1"})
      .add(PutDevice{device("half")})
      .add(PutDim{dim("half", 1, 1, 77)})
      .add(PutDim{dim("half", 1, 1, 78)});  // the counter does not rise
  auto refused = submit(*this->store_, bad);
  auto after = submit(*this->store_, batch(PutDim{dim("store-1", 1, 1, 1)}));
  this->faults_->release();
  EXPECT_EQ(code_of(wait(std::move(blocker))), "ok");
  EXPECT_EQ(code_of(wait(std::move(before))), "ok");
  EXPECT_EQ(code_of(wait(std::move(refused))), "store-conflict");
  EXPECT_EQ(code_of(wait(std::move(after))), "ok");
  const MeshState state = this->reopened();
  EXPECT_EQ(state.settings.count("half"), 0U);
  EXPECT_EQ(state.settings.count("before"), 1U);
  EXPECT_EQ(state.devices.size(), 1U);
  EXPECT_EQ(state.position, 1U);
  EXPECT_EQ(state.counters.count("half"), 0U);
}

TYPED_TEST(StoreContract, ACompletionComesOnlyAfterTheCommit) {
  this->faults_->hold(FaultControl::Point::kBeforeDurable);
  auto waiting = submit(*this->store_, batch(PutDim{dim("store-1", 1, 1, 1)}));
  ASSERT_TRUE(this->faults_->wait_until_held(steady_clock::now() + kDeadline));
  EXPECT_NE(waiting.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  this->faults_->release();
  EXPECT_EQ(code_of(wait(std::move(waiting))), "ok");
}

TYPED_TEST(StoreContract, WhatWaitsForASlowDiskSharesOneTransactionAndKeepsItsOrder) {
  const std::uint64_t transactions = this->store_->stats().transactions;
  this->faults_->hold(FaultControl::Point::kBeforeDurable);
  auto blocker = submit(*this->store_, batch(PutSetting{"a", "b"}));
  ASSERT_TRUE(this->faults_->wait_until_held(steady_clock::now() + kDeadline));
  std::vector<int> order;
  std::promise<void> all;
  for (int i = 0; i < 100; ++i) {
    this->store_->submit(batch(AdvancePosition{static_cast<std::uint64_t>(i) + 1}),
                         [&order, &all, i](const Status& status) {
                           EXPECT_EQ(code_of(status), "ok");
                           order.push_back(i);
                           if (i == 99) all.set_value();
                         });
  }
  this->faults_->release();
  ASSERT_EQ(all.get_future().wait_for(kDeadline), std::future_status::ready);
  EXPECT_EQ(code_of(wait(std::move(blocker))), "ok");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(this->store_->stats().transactions, transactions + 2);
}

TYPED_TEST(StoreContract, AFullDiskFailsEveryoneInTheTransactionStoresNothingAndPassesByItself) {
  this->faults_->fail_commits({kErrDiskFull, "the disk is full"});
  EXPECT_EQ(this->put(PutDim{dim("store-1", 1, 1, 1)}), "disk-full");
  EXPECT_EQ(this->put(PutSetting{"a", "b"}), "disk-full");
  EXPECT_EQ(this->state().position, 0U);
  this->faults_->clear_failure();
  EXPECT_EQ(this->put(PutDim{dim("store-1", 1, 1, 1)}), "ok");
  EXPECT_EQ(this->reopened().settings.size(), 0U);
  EXPECT_EQ(this->state().dims.size(), 1U);
}

TYPED_TEST(StoreContract, ARefusalThatRestedOnALostNeighbourIsToldAsTheDisksFault) {
  ASSERT_EQ(this->put(PutToken{token(1)}), "ok");
  this->faults_->hold(FaultControl::Point::kBeforeDurable);
  auto blocker = submit(*this->store_, batch(PutSetting{"a", "b"}));
  ASSERT_TRUE(this->faults_->wait_until_held(steady_clock::now() + kDeadline));
  auto first = submit(*this->store_, batch(UseToken{hash_of(1), at_ms(1)}));
  auto second = submit(*this->store_, batch(UseToken{hash_of(1), at_ms(1)}));
  this->faults_->fail_commits({kErrDiskFull, "the disk is full"});
  this->faults_->release();
  EXPECT_EQ(code_of(wait(std::move(blocker))), "disk-full");
  EXPECT_EQ(code_of(wait(std::move(first))), "disk-full");
  EXPECT_EQ(code_of(wait(std::move(second))), "disk-full");  // "used" would be a lie
  this->faults_->clear_failure();
  EXPECT_EQ(this->put(UseToken{hash_of(1), at_ms(1)}), "ok");
}

TYPED_TEST(StoreContract, ASlowDiskOnlyTakesLonger) {
  this->faults_->delay_commits(std::chrono::milliseconds(20));
  std::vector<std::future<Status>> all;
  for (std::uint64_t i = 1; i <= 50; ++i) {
    all.push_back(submit(*this->store_, batch(AdvancePosition{i})));
  }
  for (auto& each : all) EXPECT_EQ(code_of(wait(std::move(each))), "ok");
  EXPECT_EQ(this->state().position, 50U);
}

TYPED_TEST(StoreContract, MoreThanMayWaitIsRefusedAtOnceAndNothingElseSuffers) {
  this->open({4, std::size_t{1} << 20, 2});
  this->faults_->hold(FaultControl::Point::kBeforeDurable);
  std::vector<std::future<Status>> all;
  all.push_back(submit(*this->store_, batch(AdvancePosition{1})));
  ASSERT_TRUE(this->faults_->wait_until_held(steady_clock::now() + kDeadline));
  for (std::uint64_t i = 2; i <= 4; ++i) {
    all.push_back(submit(*this->store_, batch(AdvancePosition{i})));
  }
  auto too_much = submit(*this->store_, batch(AdvancePosition{5}));
  ASSERT_EQ(too_much.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(code_of(too_much.get()), "store-overloaded");
  this->faults_->release();
  for (auto& each : all) EXPECT_EQ(code_of(wait(std::move(each))), "ok");
  EXPECT_EQ(this->store_->stats().waiting_batches, 0U);
  EXPECT_EQ(this->store_->stats().waiting_octets, 0U);
  EXPECT_EQ(this->put(AdvancePosition{5}), "ok");
}

TYPED_TEST(StoreContract, ClosingCommitsWhatWaitsAndRefusesWhatComesLater) {
  std::vector<std::future<Status>> all;
  for (std::uint64_t i = 1; i <= 200; ++i) {
    all.push_back(submit(*this->store_, batch(AdvancePosition{i})));
  }
  this->store_->close();
  for (auto& each : all) EXPECT_EQ(code_of(wait(std::move(each))), "ok");
  EXPECT_EQ(code_of(write(*this->store_, batch(AdvancePosition{201}))), "store-closed");
  EXPECT_EQ(this->store_->load().error().code, kErrStoreClosed);
  this->store_->close();
  EXPECT_EQ(this->reopened().position, 200U);
}

TYPED_TEST(StoreContract, ManyThreadsMaySubmitAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string key = std::to_string(t) + "." + std::to_string(i);
        EXPECT_EQ(code_of(write(*this->store_, batch(PutSetting{key, "1"}))), "ok");
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(this->state().settings.size(), 200U);
}

TYPED_TEST(StoreContract, ANewEpochAndARemovedSettingAreRemembered) {
  ASSERT_EQ(this->put(SetEpoch{{9, 9}}), "ok");
  ASSERT_EQ(this->put(PutSetting{"a", "b"}), "ok");
  ASSERT_EQ(this->put(PutSetting{"a", std::nullopt}), "ok");
  EXPECT_EQ(this->put(RemoveCsr{"nobody"}), "store-not-found");
  const MeshState state = this->reopened();
  EXPECT_EQ(state.mesh.epoch, (Epoch{9, 9}));
  EXPECT_TRUE(state.settings.empty());
}

}  // namespace
}  // namespace cygnet::controller::store
