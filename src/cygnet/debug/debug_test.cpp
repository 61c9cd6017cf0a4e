// SPDX-License-Identifier: Apache-2.0
#include "cygnet/debug/debug.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace cygnet::debug {
namespace {

using nlohmann::json;

struct Outcome {
  int code = 0;
  std::string text;
  [[nodiscard]] json answer() const { return json::parse(text); }
  [[nodiscard]] std::string error() const { return answer()["error"]["code"]; }
  [[nodiscard]] std::string message() const { return answer()["error"]["message"]; }
};

Outcome run(const std::vector<std::string>& args, const std::string& input) {
  std::istringstream in(input);
  std::ostringstream out;
  Outcome result;
  result.code = run_debug(args, in, out, ServerTime{});
  result.text = out.str();
  return result;
}
Outcome run(const std::vector<std::string>& args, const json& input) {
  return run(args, input.dump());
}

json derive_input() {
  return {{"group", 31},
          {"prf", "hmac-sha2-256"},
          {"encr", "aes-gcm-16-256"},
          {"integ", nullptr},
          {"lanes", 1},
          {"kdf", "long"},
          {"ppk", nullptr},
          {"spn", {1, 1}},
          {"local",
           {{"private", "77076d0a7318a57d3c16c17251b26645df4c2f92ebc099ac2ea87c0b2ab2c2a1"},
            {"nonce", std::string(64, 'a')}}},
          {"remote",
           {{"public", "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"},
            {"nonce", std::string(64, 'b')}}}};
}

json esp_input() {
  return {{"encr", "aes-gcm-16-128"}, {"integ", nullptr}, {"encr_key", std::string(40, '0')},
          {"integ_key", nullptr},     {"esn", false},     {"seq_hi", 0}};
}

TEST(DebugVerbs, AnswerWithOneObjectOnOneLine) {
  const Outcome good = run({"derive"}, derive_input());
  EXPECT_EQ(good.code, kExitOk);
  EXPECT_EQ(std::count(good.text.begin(), good.text.end(), '\n'), 1);
  EXPECT_EQ(good.text.back(), '\n');
  EXPECT_EQ(good.answer()["role"], "responder");
  const Outcome bad = run({"derive"}, std::string("no json"));
  EXPECT_EQ(bad.code, kExitRefused);
  EXPECT_EQ(std::count(bad.text.begin(), bad.text.end(), '\n'), 1);
}

TEST(DebugVerbs, NameThemselvesWhenTheVerbIsUnknown) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{}, {"esp"}, {"derive", "more"}, {"dim", "eat"}}) {
    const Outcome result = run(args, json::object());
    EXPECT_EQ(result.code, kExitRefused);
    EXPECT_EQ(result.error(), "usage");
  }
  for (const char* verb :
       {"derive", "esp open", "esp seal", "dim decode", "dim encode", "dim check"}) {
    EXPECT_NE(debug_usage().find(verb), std::string_view::npos) << verb;
  }
}

TEST(DebugVerbs, RefuseInputThatIsNotOneObject) {
  for (const char* text : {"", "[]", "1", "{", "{}{}", "{\"group\":31,\"group\":32}", "\xff"}) {
    const Outcome result = run({"derive"}, std::string(text));
    EXPECT_EQ(result.code, kExitRefused) << text;
    EXPECT_EQ(result.error(), "json") << text;
  }
}

TEST(DebugVerbs, RefuseInputBeyondTheirLimit) {
  const Outcome result = run({"derive"}, std::string(kInputLengthMax + 1, ' '));
  EXPECT_EQ(result.error(), "json");
  EXPECT_NE(result.message().find("exceeds"), std::string::npos);
}

TEST(DebugVerbs, NameTheFieldAtFaultByItsPath) {
  json input = derive_input();
  input["local"].erase("nonce");
  EXPECT_EQ(run({"derive"}, input).error(), "missing-field");
  EXPECT_NE(run({"derive"}, input).message().find("local.nonce"), std::string::npos);
  input = derive_input();
  input["remote"]["public"] = 7;
  EXPECT_EQ(run({"derive"}, input).error(), "wrong-type");
  EXPECT_NE(run({"derive"}, input).message().find("remote.public"), std::string::npos);
  input = derive_input();
  input["remote"]["publik"] = "00";
  EXPECT_EQ(run({"derive"}, input).error(), "unknown-field");
  EXPECT_NE(run({"derive"}, input).message().find("remote.publik"), std::string::npos);
}

TEST(DebugVerbs, AnswerEvenWhenTheInputIsNoUtf8) {
  const Outcome result = run({"derive"}, std::string("{\"kdf\":\"\\u00ff\",\"group\":31}"));
  EXPECT_EQ(result.code, kExitRefused);
  EXPECT_FALSE(result.error().empty());
}

TEST(DebugDerive, TheShortKdfHasNoSkD) {
  json input = derive_input();
  input["kdf"] = "short";
  const json answer = run({"derive"}, input).answer();
  EXPECT_TRUE(answer["sk_d"].is_null());
  EXPECT_TRUE(answer["sk_d_prime"].is_null());
  EXPECT_FALSE(answer["keymat"].get<std::string>().empty());
  input["ppk"] = "00";
  EXPECT_EQ(run({"derive"}, input).error(), "ppk");
}

TEST(DebugDerive, WhatMayBeNullMayBeAbsent) {
  json input = derive_input();
  for (const char* field : {"integ", "ppk", "kdf", "lanes"}) input.erase(field);
  EXPECT_EQ(run({"derive"}, input).text, run({"derive"}, derive_input()).text);
  input["spn"] = nullptr;
  const std::string bare = run({"derive"}, input).text;
  input.erase("spn");
  EXPECT_EQ(run({"derive"}, input).text, bare);
}

TEST(DebugEsp, OpensWhatItSealed) {
  json input = esp_input();
  json seal = input;
  seal.update({{"spi", "00001000"},
               {"seq", 5},
               {"iv", "0000000000000005"},
               {"next_header", 4},
               {"payload", "450000"}});
  const Outcome sealed = run({"esp", "seal"}, seal);
  ASSERT_EQ(sealed.code, kExitOk) << sealed.text;
  input["packet"] = sealed.answer()["packet"];
  const Outcome opened = run({"esp", "open"}, input);
  ASSERT_EQ(opened.code, kExitOk) << opened.text;
  EXPECT_EQ(opened.answer(), (json{{"spi", "00001000"},
                                   {"seq", 5},
                                   {"next_header", 4},
                                   {"pad_length", 3},
                                   {"payload", "450000"}}));
}

TEST(DebugEsp, NamesTheDrop) {
  json input = esp_input();
  input["packet"] = "00";
  EXPECT_EQ(run({"esp", "open"}, input).code, kExitRefused);
  EXPECT_EQ(run({"esp", "open"}, input).error(), "too-short");
  input["packet"] = std::string(2 * 36, '1');
  EXPECT_EQ(run({"esp", "open"}, input).error(), "icv");
}

TEST(DebugDim, RefusalsNamePayloadAndOffset) {
  const Outcome result = run({"dim", "decode"}, json{{"dim", "2900000702000000"}});
  EXPECT_EQ(result.code, kExitRefused);
  EXPECT_EQ(result.error(), "dim-form");
  EXPECT_EQ(result.answer()["error"]["where"], "Notify payload at offset 7");
}

TEST(DebugDim, EncodeSaysWhichElementOfTheInputIsAtFault) {
  json input = {{"payloads", {{{"type", 35}, {"fields", {{"id_type", 2}}}}}}, {"key", "x"}};
  EXPECT_EQ(run({"dim", "encode"}, input).error(), "missing-field");
  EXPECT_NE(run({"dim", "encode"}, input).message().find("payloads[0].fields.id"),
            std::string::npos);
  input = {{"payloads", json::array()}};
  EXPECT_EQ(run({"dim", "encode"}, input).error(), "missing-field");
  input = {{"payloads", {{{"type", 43}, {"fields", json::object()}}}}, {"key", "x"}};
  EXPECT_EQ(run({"dim", "encode"}, input).error(), "dim-form");
  input = {{"payloads", json::array()}, {"key", "no key"}, {"mesh_id", std::string(32, '0')}};
  EXPECT_EQ(run({"dim", "encode"}, input).error(), "identity-key");
  input = {{"payloads", json::array()}, {"key", "no key"}};
  EXPECT_NE(run({"dim", "encode"}, input).code, kExitOk);
}

TEST(DebugDim, CheckNamesTheInputAtFault) {
  json input = {{"dim", "00"},
                {"certificate", "00"},
                {"trust", json::array()},
                {"mesh_id", std::string(32, '0')}};
  EXPECT_EQ(run({"dim", "check"}, input).error(), "certificate");
  EXPECT_NE(run({"dim", "check"}, input).message().find("certificate"), std::string::npos);
  input.erase("certificate");
  EXPECT_EQ(run({"dim", "check"}, input).error(), "missing-field");
}

}  // namespace
}  // namespace cygnet::debug
