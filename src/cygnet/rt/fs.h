// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Files whose loss or half-written state would hurt: atomic replacement, synced appends, secrets
/// with their modes, and the lock on a state directory.
///
/// Blocking; call at start, on a worker, or where waiting for the disk is the point (boot count and
/// sequence are fsynced before use, docs/protocol.md section 6 "Restart"). Any thread. Every error
/// names the path and what to do.

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"

namespace cygnet::rt {

inline constexpr ErrorCode kErrFileNotFound{"file-not-found"};
inline constexpr ErrorCode kErrFileDenied{"file-denied"};  ///< EACCES, EPERM, EROFS
inline constexpr ErrorCode kErrFileMode{"file-mode"};      ///< others may read a secret
inline constexpr ErrorCode kErrFileTooLarge{"file-too-large"};
inline constexpr ErrorCode kErrFile{"file"};           ///< any other failure of the system
inline constexpr ErrorCode kErrDiskFull{"disk-full"};  ///< ENOSPC, EDQUOT
inline constexpr ErrorCode kErrStateLocked{"state-locked"};

using Path = std::filesystem::path;
inline constexpr std::size_t kFileSizeMax = std::size_t{64} << 20;

/// Replaces a file: writes `<path>.tmp-<pid>`, fsyncs, renames, fsyncs the directory. After success
/// the new content survives power loss; after failure the old content is untouched and the
/// temporary file is gone. @retval kErrDiskFull, kErrFileDenied, kErrFileNotFound (directory),
/// kErrFile
[[nodiscard]] Status write_file_atomic(const Path& path, ByteView content, mode_t mode = 0644);
[[nodiscard]] Status write_file_atomic(const Path& path, std::string_view content,
                                       mode_t mode = 0644);
/// The same with mode 0600, for keys.
[[nodiscard]] Status write_secret_atomic(const Path& path, const SecretBytes& content);

/// Whole content. @retval kErrFileNotFound, kErrFileDenied, kErrFileTooLarge, kErrFile
[[nodiscard]] Result<Bytes> read_file(const Path& path, std::size_t size_max = kFileSizeMax);
[[nodiscard]] Result<std::string> read_text_file(const Path& path,
                                                 std::size_t size_max = kFileSizeMax);
/// Whole content of a file that only its owner may read and that belongs to us or to root.
/// @retval kErrFileMode with the chmod/chown to run, else as read_file
[[nodiscard]] Result<SecretBytes> read_secret(const Path& path, std::size_t size_max = 1 << 20);
/// nullopt when there is no such file; other failures stay failures.
[[nodiscard]] Result<std::optional<Bytes>> read_file_if_exists(const Path& path,
                                                               std::size_t size_max = kFileSizeMax);

/// Appends and fsyncs before returning; makes the file (and syncs its directory) when missing. On
/// failure the file is cut back to its old length.
[[nodiscard]] Status append_file_synced(const Path& path, ByteView content, mode_t mode = 0644);

/// Removes a file and fsyncs the directory; a missing file is success.
[[nodiscard]] Status remove_file(const Path& path);
/// Makes a directory with its parents; the last one gets `mode`. An existing one is left alone.
[[nodiscard]] Status make_directory(const Path& path, mode_t mode = 0700);

/// Exclusive use of a state directory, for as long as the object lives (flock on `<dir>/lock`; the
/// kernel drops it when the process dies, so there is no stale lock to clean up).
class StateLock {
 public:
  /// @retval kErrStateLocked naming the pid of the holder; the errors of make_directory
  [[nodiscard]] static Result<StateLock> acquire(const Path& directory);
  StateLock(StateLock&& other) noexcept;
  StateLock& operator=(StateLock&& other) noexcept;
  ~StateLock();

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

/// Makes an Error from errno: code by kind, message "cannot <verb> <path>: <reason>", and a cure.
[[nodiscard]] Error file_error(int errno_value, std::string_view verb, const Path& path);

}  // namespace cygnet::rt
