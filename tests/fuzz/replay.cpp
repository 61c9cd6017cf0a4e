// SPDX-License-Identifier: Apache-2.0

/// cygnet-fuzz-replay TARGET PATH…: feeds files, and the files of directories, to a fuzz target.
/// Exits 0 when all of them passed, 1 with the file's name when one broke it, 2 for an unknown
/// target or when there is nothing to replay.

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz.h"

namespace {

std::string current;  // what to say when the target aborts

extern "C" void on_abort(int) {
  const auto say = [](const char* text, std::size_t n) { (void)!::write(STDERR_FILENO, text, n); };
  say("cygnet-fuzz-replay: broken by ", 30);
  say(current.c_str(), current.size());
  say("\n", 1);
  ::_exit(1);
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const cygnet::fuzz::Target* target = cygnet::fuzz::targets();
  while (target != nullptr && (argc < 2 || std::strcmp(target->name, argv[1]) != 0)) {
    target = target->next;
  }
  if (target == nullptr) {
    std::fprintf(stderr, "usage: cygnet-fuzz-replay TARGET PATH…\ntargets:");
    for (auto* t = cygnet::fuzz::targets(); t != nullptr; t = t->next) {
      std::fprintf(stderr, " %s", t->name);
    }
    std::fprintf(stderr, "\n");
    return 2;
  }
  std::signal(SIGABRT, on_abort);
  std::size_t count = 0;
  for (int i = 2; i < argc; ++i) {
    for (const auto& file : files_of(argv[i])) {
      current = file.string();
      std::ifstream in(file, std::ios::binary);
      if (!in) {
        std::fprintf(stderr, "cygnet-fuzz-replay: cannot read %s\n", current.c_str());
        return 2;
      }
      const std::string octets{std::istreambuf_iterator<char>(in), {}};
      target->run(cygnet::as_bytes(octets));
      ++count;
    }
  }
  if (count == 0) {
    std::fprintf(stderr, "cygnet-fuzz-replay: no input for %s\n", target->name);
    return 2;
  }
  std::printf("%s: %zu inputs\n", target->name, count);
  return 0;
}
