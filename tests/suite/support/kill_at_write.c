/*
 * Loaded before the C library of a process under test: kills that process right before its n-th change of a file below given
 * directories, or command to a monitor below them. Counting begins when the process makes a directory named "kill-at-write".
 *
 * KILL_AT_WRITE is n, from 0 (none: only count), KILL_AT_WRITE_BELOW the directories with a colon between each two,
 * KILL_AT_WRITE_LOG a file that gets one line for each change. Programs that the process starts are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

/* The process that counts; a forked one has its memory until it runs its own program. */
static atomic_int armed;
static atomic_long count;
static long at = -1;
static char below[PATH_MAX];
static int log_to = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
    const char *n = getenv("KILL_AT_WRITE"), *dir = getenv("KILL_AT_WRITE_BELOW"), *log = getenv("KILL_AT_WRITE_LOG");
    if (n)
        at = atol(n);
    if (dir)
        snprintf(below, sizeof below, "%s", dir);
    if (log)
        log_to = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    unsetenv("LD_PRELOAD");
    unsetenv("KILL_AT_WRITE");
}

/* Logs are written by the clock, and nobody reads them again. */
static int counts(const char *path)
{
    const char *end = strrchr(path, '.'), *dir = below;
    if (end && !strcmp(end, ".log"))
        return 0;
    while (*dir) {
        size_t length = strcspn(dir, ":");
        /* The directory itself, or something below it. */
        if (length && !strncmp(path, dir, length) && (path[length] == '/' || !path[length]))
            return 1;
        dir += length + (dir[length] == ':');
    }
    return 0;
}

static void change(const char *what, const char *path)
{
    char line[PATH_MAX + 32];
    long number;
    int length;
    if (atomic_load(&armed) != getpid() || !counts(path))
        return;
    number = atomic_fetch_add(&count, 1);
    length = snprintf(line, sizeof line, "%s %s\n", what, path);
    if (log_to >= 0)
        syscall(SYS_write, log_to, line, (size_t)length);
    if (number == at)
        syscall(SYS_kill, getpid(), SIGKILL);
}

static void change_fd(const char *what, int fd)
{
    char link[64], path[PATH_MAX];
    struct sockaddr_un peer = {0};
    socklen_t size = sizeof peer - 1;
    struct stat found;
    ssize_t length;
    if (atomic_load(&armed) != getpid() || fstat(fd, &found))
        return;
    if (S_ISSOCK(found.st_mode) && !getpeername(fd, (struct sockaddr *)&peer, &size) && peer.sun_family == AF_UNIX)
        change("command", peer.sun_path);
    if (!S_ISREG(found.st_mode))
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = 0;
    change(what, path);
}

static void opened(const char *path, int flags)
{
    if (flags & (O_CREAT | O_TRUNC))
        change("open", path);
}

#define OPEN(name)                                   \
    int name(const char *path, int flags, ...)       \
    {                                                \
        mode_t mode = 0;                             \
        va_list rest;                                \
        va_start(rest, flags);                       \
        if (flags & (O_CREAT | O_TMPFILE))           \
            mode = va_arg(rest, mode_t);             \
        va_end(rest);                                \
        opened(path, flags);                         \
        return REAL(name)(path, flags, mode);        \
    }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode)
{
    const char *name = strrchr(path, '/');
    if (name && !strcmp(name, "/kill-at-write")) {
        atomic_store(&armed, getpid());
        return 0;
    }
    change("mkdir", path);
    return REAL(mkdir)(path, mode);
}

ssize_t write(int fd, const void *data, size_t size)
{
    change_fd("write", fd);
    return REAL(write)(fd, data, size);
}

int rename(const char *from, const char *to)
{
    change("rename", to);
    return REAL(rename)(from, to);
}

int unlink(const char *path)
{
    change("unlink", path);
    return REAL(unlink)(path);
}

int chmod(const char *path, mode_t mode)
{
    change("chmod", path);
    return REAL(chmod)(path, mode);
}

int fchmod(int fd, mode_t mode)
{
    change_fd("fchmod", fd);
    return REAL(fchmod)(fd, mode);
}

int fchown(int fd, uid_t owner, gid_t group)
{
    change_fd("fchown", fd);
    return REAL(fchown)(fd, owner, group);
}

int ftruncate64(int fd, off64_t size)
{
    change_fd("truncate", fd);
    return REAL(ftruncate64)(fd, size);
}
