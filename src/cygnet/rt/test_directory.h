// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A directory for one test, gone with it.

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "cygnet/base/assert.h"

namespace cygnet::rt::test {

class TempDirectory {
 public:
  TempDirectory() {
    // mkdtemp(3) wants six of them at the end, and puts its choice in their place.
    std::string name =
        (std::filesystem::temp_directory_path() / "cygnet-test-").string() + std::string(6, 'X');
    CYGNET_ASSERT(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }
  /// The same as a string, for what takes no path.
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace cygnet::rt::test
