// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A controller on loopback for tests: its store, its CA, policy and devices, on one loop.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "cygnet/controller/driver/controller.h"
#include "cygnet/controller/driver/state_dir.h"
#include "cygnet/controller/driver/test_device.h"
#include "cygnet/controller/policy/parse.h"
#include "cygnet/controller/store/fault_engine.h"
#include "cygnet/controller/store/open.h"
#include "cygnet/controller/store/store_test_support.h"
#include "cygnet/crypto/random.h"

namespace cygnet::controller::test {

class TestMesh {
 public:
  enum class Engine { kMemory, kSqlite };
  explicit TestMesh(Engine engine, rt::ClockOffsets offsets = {})
      : loop(offsets), engine_(engine), authority_(*Authority::make("corp", loop.wall_now())) {
    options.listen = {"127.0.0.1", 0};
    options.advertise = {"127.0.0.1", 0};
    open_store();
    store::MeshRecord record;
    crypto::system_random().fill(record.id);
    crypto::system_random().fill(record.epoch);
    record.name = "corp";
    record.created_at = loop.wall_now();
    store::WriteBatch batch{record.id, {}};
    batch.add(store::CreateMesh{record});
    batch.add(store::SetTrust{{authority_.certificate().der()}});
    EXPECT_TRUE(submit_and_wait(*store_, std::move(batch)));
    mesh_id = record.id;
    server_key_ = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
    start();
  }
  ~TestMesh() { stop(); }
  TestMesh(const TestMesh&) = delete;
  TestMesh& operator=(const TestMesh&) = delete;

  void start() {
    auto snapshot = store_->load();
    ASSERT_TRUE(snapshot) << snapshot.error().to_string();
    crypto::CertificateSpec spec;
    spec.spki = server_key_->spki();
    spec.common_name = "controller.cygnet.corp";
    spec.dns_sans = {spec.common_name};
    spec.not_before = loop.wall_now() - std::chrono::hours(1);
    spec.not_after = loop.wall_now() + std::chrono::hours(1000);
    spec.server_auth = true;
    auto leaf = authority_.sign(spec);
    ASSERT_TRUE(leaf) << leaf.error().to_string();
    auto made = Controller::start(loop, options, *store_, snapshot->meshes.front(), authority_,
                                  authority_.certificate(),
                                  {*server_key_, {*leaf, authority_.certificate()}});
    ASSERT_TRUE(made) << made.error().to_string();
    controller = std::move(*made);
  }
  /// As a crash: no Goaway. The store survives it as far as it promised.
  void stop() {
    controller.reset();
    if (store_) store_->close();
  }
  void restart() {
    controller.reset();
    if (engine_ == Engine::kSqlite) {
      store_->close();
      store_.reset();
      open_store();
    }
    start();
  }

  [[nodiscard]] std::string token(std::optional<std::string> device,
                                  std::map<std::string, std::string> labels = {},
                                  std::chrono::milliseconds ttl = std::chrono::hours(1),
                                  std::uint32_t uses = 1) {
    FreshToken fresh = make_token(loop.wall_now(), ttl);
    fresh.record.device = std::move(device);
    fresh.record.labels = std::move(labels);
    fresh.record.uses_left = uses;
    EXPECT_TRUE(ask([&](Controller::Done done) {
      controller->add_token(fresh.record, "test", std::move(done));
    }));
    return fresh.secret;
  }

  /// Runs an operator's request to its end.
  Status ask(const std::function<void(Controller::Done)>& request) {
    std::optional<Status> answer;
    request([&](Status status) { answer = std::move(status); });
    EXPECT_TRUE(loop.run_until([&] { return answer.has_value(); }, kPatience));
    return answer.value_or(Status(fail(ErrorCode("test-deadline"), "no answer")));
  }

  Status apply(const std::string& yaml) {
    auto document = policy::parse("mesh: corp\n" + yaml, "test.yaml");
    EXPECT_TRUE(document) << document.error().to_string();
    const auto specs = controller->core().enrolled_specs();
    auto compile = controller->core().compile_options();
    compile.enrolled = specs;
    auto compiled = policy::CompiledPolicy::compile(*document, compile, controller->core().names());
    EXPECT_TRUE(compiled) << compiled.error().to_string();
    return ask([&](Controller::Done done) {
      controller->apply_policy("mesh: corp\n" + yaml, std::move(*compiled), std::nullopt, "test",
                               "test", std::move(done));
    });
  }

  /// A device that has joined under a token bound to its name.
  [[nodiscard]] std::unique_ptr<TestDevice> joined(const std::string& name) {
    auto device = std::make_unique<TestDevice>(loop, controller->port(), name);
    const auto reply = device->join(token(name), controller->ca_fingerprint());
    EXPECT_EQ(reply.outcome(), pb::EnrolReply::ISSUED) << reply.refusal().message();
    return device;
  }
  [[nodiscard]] std::uint64_t count(std::string_view name) const {
    return controller->counters().get(name);
  }
  [[nodiscard]] bool wait(const std::function<bool()>& done) {
    return loop.run_until(done, kPatience);
  }
  [[nodiscard]] const Authority& authority() const { return authority_; }
  [[nodiscard]] store::Store& store() { return *store_; }

  rt::Loop loop;
  ControllerOptions options;
  crypto::MeshId mesh_id{};
  std::shared_ptr<store::FaultControl> faults = std::make_shared<store::FaultControl>();
  std::unique_ptr<Controller> controller;

 private:
  void open_store() {
    std::unique_ptr<store::Engine> inner;
    if (engine_ == Engine::kMemory) {
      inner = store::make_memory_engine();
    } else {
      auto opened = store::open_sqlite_engine(directory_.file("store.db"));
      EXPECT_TRUE(opened) << opened.error().to_string();
      inner = std::move(*opened);
    }
    store_ = store::make_group_commit_store(store::make_fault_engine(std::move(inner), faults));
  }

  store::TempDirectory directory_;
  Engine engine_;
  Authority authority_;
  std::optional<crypto::IdentityKey> server_key_;
  std::unique_ptr<store::Store> store_;
};

}  // namespace cygnet::controller::test
