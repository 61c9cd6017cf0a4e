// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A directory for one test, gone with it.

#include <cstdlib>
#include <filesystem>
#include <string>

#include "cygnet/base/assert.h"

namespace cygnet::agent::testing {

class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cygnet-agent-XXXXXX").string();
    CYGNET_ASSERT(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace cygnet::agent::testing
