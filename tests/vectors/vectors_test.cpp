// SPDX-License-Identifier: Apache-2.0
// Runs every row of every third-party file, and shows that a wrong octet in any row is noticed.
#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "vector_rows.h"

namespace cygnet::vectors {
namespace {

class Vectors : public testing::TestWithParam<VectorFile> {};

std::string label(const Json& row, std::size_t index) {
  for (const char* field : {"tcId", "test", "name"}) {
    if (row.contains(field)) return std::string(field) + " " + row.at(field).dump();
  }
  return "row " + std::to_string(index);
}

TEST_P(Vectors, EveryRowHolds) {
  const VectorFile& file = GetParam();
  std::size_t ours = 0;
  std::size_t not_ours = 0;
  std::size_t index = 0;
  for (const Json& row : load_rows(file)) {
    const Outcome outcome = judge_row(file, row);
    EXPECT_NE(outcome.verdict, Verdict::kFail)
        << file.path << ", " << label(row, index) << ": " << outcome.why;
    ++index;
    ++(outcome.verdict == Verdict::kNotOurs ? not_ours : ours);
  }
  std::cout << "vectors: " << file.name << " " << index << " rows (" << ours << " run, " << not_ours
            << " not our suite and refused)\n";
  EXPECT_GE(ours, file.ours_at_least) << "the file lost rows";
  EXPECT_LE(not_ours, file.not_ours_at_most) << "rows are left out";
}

/// Flips one bit of the octet that `index` selects; false when the field holds none.
bool plant(Json& row, const std::string& field, std::size_t index) {
  if (!row.contains(field)) return false;
  auto text = row.at(field).get<std::string>();
  if (text.empty()) return false;
  char& digit = text[(index * 7 + 1) % text.size()];
  const auto value = std::string("0123456789abcdef").find(digit);
  digit = "0123456789abcdef"[value ^ 1];
  row[field] = text;
  return true;
}

TEST_P(Vectors, AWrongOctetInAnyRowIsNoticed) {
  const VectorFile& file = GetParam();
  std::size_t planted = 0;
  std::size_t index = 0;
  for (const Json& row : load_rows(file)) {
    ++index;
    if (judge_row(file, row).verdict == Verdict::kNotOurs) continue;
    bool any = false;
    if (row.contains("result") && row.at("result") == "invalid") {
      // Whatever octet is changed, the row stays invalid; the lie is to call it valid.
      Json copy = row;
      copy["result"] = "valid";
      EXPECT_EQ(judge_row(file, copy).verdict, Verdict::kFail) << label(row, index);
      any = true;
    } else {
      for (const std::string& field : file.sensitive) {
        Json copy = row;
        if (!plant(copy, field, index)) continue;
        EXPECT_EQ(judge_row(file, copy).verdict, Verdict::kFail)
            << label(row, index) << ": a wrong octet in " << field << " went unseen";
        any = true;
      }
    }
    EXPECT_TRUE(any) << label(row, index) << " has nothing that could be wrong";
    planted += any ? 1 : 0;
  }
  std::cout << "vectors: " << file.name << " " << planted << " rows refused with a wrong octet\n";
  EXPECT_GE(planted, file.ours_at_least);
}

TEST_P(Vectors, ARowWithoutItsFieldsFailsInsteadOfPassing) {
  EXPECT_EQ(judge_row(GetParam(), Json::object()).verdict, Verdict::kFail);
}

std::string test_name(const testing::TestParamInfo<VectorFile>& file) {
  std::string name = file.param.name;
  for (char& c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) c = '_';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Files, Vectors, testing::ValuesIn(vector_files()), test_name);

}  // namespace
}  // namespace cygnet::vectors
