/* Preloaded into a process: its n-th persistent file operation kills it, or finds the disk full.
 *
 * Counts what changes regular files and folders, whoever asks: Python, HDF5, the C library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

enum mode { COUNT, KILL, TORN, ERROR_ONCE, FULL_FROM };

static int at, count;
static enum mode mode;

void fault_arm(int n, int what) { count = 0, at = n, mode = what; }
int fault_count(void) { return count; }

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)

/* Tell whether this operation fails for want of space; `grows`: it needs new blocks. */
static int full(int grows)
{
    int now = __sync_add_and_fetch(&count, 1);
    if (at <= 0) return 0;
    if (mode == KILL && now == at) kill(getpid(), SIGKILL), pause();
    if ((mode == ERROR_ONCE && now == at) || (mode == FULL_FROM && now >= at && grows)) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

static int regular(int fd, off_t *size)
{
    struct stat about;
    int saved = errno, found = fd > 2 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    found = found && about.st_nlink > 0; /* else it is in memory only */
    errno = saved;
    if (found) *size = about.st_size;
    return found;
}

static int torn_now(void) { return mode == TORN && at > 0 && count + 1 == at; }

ssize_t write(int fd, const void *data, size_t length)
{
    REAL(write);
    off_t size;
    if (!regular(fd, &size)) return real(fd, data, length);
    if (torn_now()) real(fd, data, length / 2), kill(getpid(), SIGKILL), pause();
    return full(1) ? -1 : real(fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    REAL(pwrite64);
    off_t size;
    if (!regular(fd, &size)) return real(fd, data, length, offset);
    if (torn_now()) real(fd, data, length / 2, offset), kill(getpid(), SIGKILL), pause();
    return full(offset + (off64_t)length > size) ? -1 : real(fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}

int ftruncate64(int fd, off64_t length)
{
    REAL(ftruncate64);
    off_t size = 0;
    return regular(fd, &size) && full(length > size) ? -1 : real(fd, length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    REAL(posix_fallocate64);
    off_t size = 0;
    int saved = errno;
    int failed = regular(fd, &size) && full(offset + length > size);
    errno = saved;
    return failed ? ENOSPC : real(fd, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    return posix_fallocate64(fd, offset, length);
}

int fsync(int fd)
{
    REAL(fsync);
    return full(0) ? -1 : real(fd);
}

int open64(const char *path, int flags, ...)
{
    REAL(open64);
    va_list rest;
    va_start(rest, flags);
    mode_t permissions = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int changes = flags & (O_CREAT | O_TRUNC), saved = errno;
    int exists = access(path, F_OK) == 0;
    errno = saved;
    if (changes && path[0] == '/' && full(!exists)) return -1;
    return real(path, flags, permissions);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t permissions = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open64(path, flags, permissions);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    return full(0) ? -1 : real(from, to);
}

int link(const char *from, const char *to)
{
    REAL(link);
    return full(1) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t permissions)
{
    REAL(mkdir);
    int exists = access(path, F_OK) == 0;
    return full(!exists) ? -1 : real(path, permissions);
}

int unlink(const char *path)
{
    REAL(unlink);
    if (access(path, F_OK) == 0) {
        enum mode kept = mode;
        if (mode == ERROR_ONCE) mode = COUNT; /* removing a file needs no space */
        full(0);
        mode = kept;
    }
    return real(path);
}
