// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/fs.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

namespace cygnet::rt {
namespace {

/// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool ok() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// errno of the failure, 0 on success.
int write_all(int fd, ByteView content) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    content = content.subspan(static_cast<std::size_t>(n));
  }
  return 0;
}

Path directory_of(const Path& path) {
  return path.has_parent_path() ? path.parent_path() : Path(".");
}

Status sync_directory(const Path& directory) {
  const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return fail(file_error(errno, "open", directory));
  if (fsync(fd.get()) != 0) return fail(file_error(errno, "sync", directory));
  return {};
}

std::string octal(mode_t mode) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode & 07777));
  return text.data();
}

/// Reads an open file into a container of octets. T is Bytes or std::string.
template <class T>
Result<T> read_open(int fd, const Path& path, std::size_t size_max) {
  T out;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail(file_error(errno, "read", path));
    }
    if (n == 0) break;
    if (out.size() + static_cast<std::size_t>(n) > size_max) {
      return fail(kErrFileTooLarge,
                  path.string() + " is larger than " + std::to_string(size_max) + " octets", {},
                  "check that this is the file you mean");
    }
    out.insert(out.end(), buffer.data(), buffer.data() + n);
  }
  secure_zero(buffer.data(), buffer.size());
  return out;
}

template <class T>
Result<T> read_whole(const Path& path, std::size_t size_max) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return fail(file_error(errno, "open", path));
  return read_open<T>(fd.get(), path, size_max);
}

}  // namespace

Error file_error(int errno_value, std::string_view verb, const Path& path) {
  Error error{kErrFile, "cannot " + std::string(verb) + " " + path.string() + ": " +
                            std::generic_category().message(errno_value)};
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
      error.code = kErrFileNotFound;
      error.cure = "check the path";
      break;
    case EACCES:
    case EPERM:
      error.code = kErrFileDenied;
      error.cure = "check owner and mode of the file and of its directories; this runs as uid " +
                   std::to_string(geteuid());
      break;
    case EROFS:
      error.code = kErrFileDenied;
      error.cure = "the file system is mounted read-only; choose another directory or remount it";
      break;
    case ENOSPC:
    case EDQUOT:
      error.code = kErrDiskFull;
      error.cure = "free space on the file system of " + path.string() + " (df -h " +
                   directory_of(path).string() + ")";
      break;
    case EMFILE:
    case ENFILE:
      error.cure = "raise the limit of open files (LimitNOFILE=)";
      break;
    case EIO:
      error.cure = "the disk fails; see the kernel's log (dmesg)";
      break;
    default:
      break;
  }
  return error;
}

Status write_file_atomic(const Path& path, ByteView content, mode_t mode) {
  const Path temporary = path.string() + ".tmp-" + std::to_string(getpid());
  unlink(temporary.c_str());  // left by a crash of a process that had our pid
  Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd.ok()) return fail(file_error(errno, "write", path));
  int problem = 0;
  if (fchmod(fd.get(), mode) != 0) problem = errno;  // the umask must not decide
  if (problem == 0) problem = write_all(fd.get(), content);
  if (problem == 0 && fsync(fd.get()) != 0) problem = errno;
  if (problem == 0 && close(fd.release()) != 0) problem = errno;
  if (problem == 0 && rename(temporary.c_str(), path.c_str()) != 0) problem = errno;
  if (problem != 0) {
    unlink(temporary.c_str());
    return fail(file_error(problem, "write", path));
  }
  return sync_directory(directory_of(path));
}

Status write_file_atomic(const Path& path, std::string_view content, mode_t mode) {
  return write_file_atomic(path, as_bytes(content), mode);
}

Status write_secret_atomic(const Path& path, const SecretBytes& content) {
  return write_file_atomic(path, content.reveal(), 0600);
}

Result<Bytes> read_file(const Path& path, std::size_t size_max) {
  return read_whole<Bytes>(path, size_max);
}

Result<std::string> read_text_file(const Path& path, std::size_t size_max) {
  return read_whole<std::string>(path, size_max);
}

Result<SecretBytes> read_secret(const Path& path, std::size_t size_max) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return fail(file_error(errno, "open", path));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return fail(file_error(errno, "look at", path));
  if (!S_ISREG(status.st_mode)) {
    return fail(kErrFileMode, path.string() + " is no regular file", {},
                "put the secret into a file of mode 0600");
  }
  if ((status.st_mode & 077) != 0) {
    return fail(
        kErrFileMode,
        path.string() + " has mode " + octal(status.st_mode) + ": others than its owner can use it",
        {}, "chmod 0600 " + path.string() + ", and replace the secret if it was seen");
  }
  if (status.st_uid != geteuid() && status.st_uid != 0) {
    return fail(kErrFileMode,
                path.string() + " belongs to uid " + std::to_string(status.st_uid) +
                    ", not to uid " + std::to_string(geteuid()) + " or root",
                {}, "chown " + std::to_string(geteuid()) + " " + path.string());
  }
  CYGNET_TRY(auto octets, read_open<Bytes>(fd.get(), path, size_max));
  SecretBytes secret{ByteView(octets)};
  secure_zero(octets.data(), octets.size());
  return secret;
}

Result<std::optional<Bytes>> read_file_if_exists(const Path& path, std::size_t size_max) {
  auto content = read_file(path, size_max);
  if (content) return std::optional<Bytes>(std::move(*content));
  if (content.error().code == kErrFileNotFound) return std::optional<Bytes>();
  return fail(std::move(content).error());
}

Status append_file_synced(const Path& path, ByteView content, mode_t mode) {
  bool made = false;
  int raw = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (raw < 0 && errno == ENOENT) {
    raw = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode);
    made = true;
  }
  const Fd fd(raw);
  if (!fd.ok()) return fail(file_error(errno, "append to", path));
  if (made && fchmod(fd.get(), mode) != 0) return fail(file_error(errno, "set mode of", path));
  const off_t before = lseek(fd.get(), 0, SEEK_END);
  if (before < 0) return fail(file_error(errno, "append to", path));
  int problem = write_all(fd.get(), content);
  if (problem == 0 && fdatasync(fd.get()) != 0) problem = errno;
  if (problem != 0) {
    [[maybe_unused]] const int cut = ftruncate(fd.get(), before);  // no half record is left
    return fail(file_error(problem, "append to", path));
  }
  return made ? sync_directory(directory_of(path)) : Status{};
}

Status remove_file(const Path& path) {
  if (unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return fail(file_error(errno, "remove", path));
  }
  return sync_directory(directory_of(path));
}

Status make_directory(const Path& path, mode_t mode) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return {};
  if (path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) return fail(file_error(error.value(), "make directory", path.parent_path()));
  }
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return fail(file_error(errno, "make directory", path));
  }
  if (!std::filesystem::is_directory(path, error)) {
    return fail(kErrFile, path.string() + " is no directory", {}, "choose another path");
  }
  if (chmod(path.c_str(), mode) != 0) return fail(file_error(errno, "set mode of", path));
  return {};
}

Result<StateLock> StateLock::acquire(const Path& directory) {
  CYGNET_CHECK_OK(make_directory(directory));
  const Path path = directory / "lock";
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return fail(file_error(errno, "open", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(file_error(errno, "lock", path));
    std::array<char, 24> text{};
    const ssize_t n = pread(fd.get(), text.data(), text.size() - 1, 0);
    long pid = 0;
    if (n > 0) std::from_chars(text.data(), text.data() + n, pid);
    const std::string holder =
        pid > 0 ? "process " + std::to_string(pid) : std::string("another process");
    return fail(
        kErrStateLocked, "state directory " + directory.string() + " is in use by " + holder, {},
        pid > 0
            ? "stop process " + std::to_string(pid) + " first, or use another " + "state directory"
            : "stop the other process first, or use another state directory");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  // The pid is for people only; the lock itself does not depend on it.
  if (ftruncate(fd.get(), 0) != 0 || write_all(fd.get(), as_bytes(pid)) != 0) {
    return fail(file_error(errno == 0 ? EIO : errno, "write", path));
  }
  return StateLock(fd.release());
}

StateLock::StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
StateLock& StateLock::operator=(StateLock&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}
StateLock::~StateLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace cygnet::rt
