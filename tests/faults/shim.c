/*
 * Faults in the calls that change files, for tests: LD_PRELOAD this and map the file named by FAULT_PAGE.
 *
 * Every call of the chosen kinds on a file below `folder` is counted; at the `nth` one the process is killed before it,
 * killed with half of the write done, told that it failed, or held up. The page is shared memory: a test arms it and
 * reads it while the process runs. shim.py has the same struct.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum mode { OFF, KILL, TORN, FAIL, HANG };
enum kind { WRITE = 1, TRUNCATE = 2, ALLOCATE = 4, SYNC = 8, NAME = 16, OPEN = 32, CLOSE = 64 };

struct page {
    int32_t mode;     /* what happens at the nth call; 0: they are only counted */
    int32_t kinds;    /* which calls count */
    int64_t nth;      /* from 1 */
    int32_t for_ever; /* at every call from the nth on */
    int32_t error;    /* FAIL: errno */
    int64_t hang_ms;  /* HANG: at most; it ends when the mode is changed */
    int64_t seen;     /* calls counted */
    int64_t struck;   /* calls at which something happened */
    char folder[512];
    char named[64];   /* what the names that count have in them; "" for all */
};

static struct page *page;

__attribute__((constructor)) static void map_page(void)
{
    const char *name = getenv("FAULT_PAGE");
    int fd = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        page = at;
    syscall(SYS_close, fd);
}

static int below(const char *path)
{
    size_t folder = strlen(page->folder);
    if (!folder || strncmp(path, page->folder, folder) || (path[folder] != '/' && path[folder] != '\0'))
        return 0;
    return strstr(path + folder, page->named) != NULL;
}

static int fd_below(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = '\0';
    char *deleted = strstr(path, " (deleted)");
    if (deleted)
        *deleted = '\0';
    return below(path);
}

/* What happens at this call: OFF, TORN and FAIL are the caller's to carry out. */
static int strike(int kind)
{
    if (!(page->kinds & kind))
        return OFF;
    int64_t number = __atomic_add_fetch(&page->seen, 1, __ATOMIC_SEQ_CST);
    int mode = __atomic_load_n(&page->mode, __ATOMIC_SEQ_CST);
    if (mode == OFF || !(number == page->nth || (page->for_ever && number > page->nth)))
        return OFF;
    __atomic_add_fetch(&page->struck, 1, __ATOMIC_SEQ_CST);
    if (mode == KILL || (mode == TORN && kind != WRITE))
        kill(getpid(), SIGKILL);
    for (int64_t left = page->hang_ms; mode == HANG && page->mode == HANG && left > 0; left -= 5) {
        struct timespec pause = {0, (left < 5 ? left : 5) * 1000000};
        nanosleep(&pause, NULL);
    }
    if (mode == FAIL)
        errno = page->error;
    return mode;
}

static int strike_fd(int kind, int fd) { return page && (page->kinds & kind) && fd_below(fd) ? strike(kind) : OFF; }
static int strike_path(int kind, const char *path)
{
    return page && (page->kinds & kind) && path && below(path) ? strike(kind) : OFF;
}

/* Half of the write reaches the file; past the page cache that is a whole number of blocks. */
static void tear(int fd, const void *data, size_t size, off_t offset, int at_offset)
{
    size_t half = size / 2;
    if (fcntl(fd, F_GETFL) & O_DIRECT)
        half &= ~(size_t)4095;
    if (half && at_offset)
        syscall(SYS_pwrite64, fd, data, half, offset);
    else if (half)
        syscall(SYS_write, fd, data, half);
    kill(getpid(), SIGKILL);
}

static void *flat(const struct iovec *parts, int count, size_t *size)
{
    *size = 0;
    for (int i = 0; i < count; i++)
        *size += parts[i].iov_len;
    char *all = malloc(*size ? *size : 1), *end = all;
    for (int i = 0; i < count; i++)
        end = mempcpy(end, parts[i].iov_base, parts[i].iov_len);
    return all;
}

#define NEXT(result, name, ...)                                                                                        \
    static result (*next)(__VA_ARGS__);                                                                                \
    if (!next)                                                                                                         \
        next = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t size)
{
    NEXT(ssize_t, "write", int, const void *, size_t);
    int what = strike_fd(WRITE, fd);
    if (what == TORN)
        tear(fd, data, size, 0, 0);
    return what == FAIL ? -1 : next(fd, data, size);
}

#define PWRITE(name)                                                                                                   \
    ssize_t name(int fd, const void *data, size_t size, off_t offset)                                                  \
    {                                                                                                                  \
        NEXT(ssize_t, #name, int, const void *, size_t, off_t);                                                        \
        int what = strike_fd(WRITE, fd);                                                                               \
        if (what == TORN)                                                                                              \
            tear(fd, data, size, offset, 1);                                                                           \
        return what == FAIL ? -1 : next(fd, data, size, offset);                                                       \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    int what = strike_fd(WRITE, fd);
    size_t size;
    if (what == TORN) {
        void *all = flat(parts, count, &size);
        tear(fd, all, size, 0, 0);
    }
    return what == FAIL ? -1 : next(fd, parts, count);
}

#define PWRITEV(name)                                                                                                  \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t offset)                                           \
    {                                                                                                                  \
        NEXT(ssize_t, #name, int, const struct iovec *, int, off_t);                                                   \
        int what = strike_fd(WRITE, fd);                                                                               \
        size_t size;                                                                                                   \
        if (what == TORN) {                                                                                            \
            void *all = flat(parts, count, &size);                                                                     \
            tear(fd, all, size, offset, 1);                                                                            \
        }                                                                                                              \
        return what == FAIL ? -1 : next(fd, parts, count, offset);                                                     \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define PWRITEV2(name)                                                                                                 \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t offset, int flags)                                \
    {                                                                                                                  \
        NEXT(ssize_t, #name, int, const struct iovec *, int, off_t, int);                                              \
        int what = strike_fd(WRITE, fd);                                                                               \
        size_t size;                                                                                                   \
        if (what == TORN) {                                                                                            \
            void *all = flat(parts, count, &size);                                                                     \
            tear(fd, all, size, offset, 1);                                                                            \
        }                                                                                                              \
        return what == FAIL ? -1 : next(fd, parts, count, offset, flags);                                              \
    }
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

#define ON_FD(name, kind, parameters, arguments, failed, ...)                                                          \
    int name parameters                                                                                                \
    {                                                                                                                  \
        NEXT(int, #name, __VA_ARGS__);                                                                                 \
        return strike_fd(kind, fd) == FAIL ? (failed) : next arguments;                                                \
    }
ON_FD(ftruncate, TRUNCATE, (int fd, off_t size), (fd, size), -1, int, off_t)
ON_FD(ftruncate64, TRUNCATE, (int fd, off_t size), (fd, size), -1, int, off_t)
ON_FD(fallocate, ALLOCATE, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), -1, int, int, off_t, off_t)
ON_FD(fallocate64, ALLOCATE, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), -1, int, int, off_t, off_t)
/* These return the error instead of setting errno. */
ON_FD(posix_fallocate, ALLOCATE, (int fd, off_t at, off_t size), (fd, at, size), page->error, int, off_t, off_t)
ON_FD(posix_fallocate64, ALLOCATE, (int fd, off_t at, off_t size), (fd, at, size), page->error, int, off_t, off_t)
ON_FD(fsync, SYNC, (int fd), (fd), -1, int)
ON_FD(fdatasync, SYNC, (int fd), (fd), -1, int)

/* A close that fails has closed all the same (close(2)). */
int close(int fd)
{
    NEXT(int, "close", int);
    int what = strike_fd(CLOSE, fd), error = errno, result = next(fd);
    if (what != FAIL)
        return result;
    errno = error;
    return -1;
}

#define ON_PATH(name, kind, path, parameters, arguments, ...)                                                          \
    int name parameters                                                                                                \
    {                                                                                                                  \
        NEXT(int, #name, __VA_ARGS__);                                                                                 \
        return strike_path(kind, path) == FAIL ? -1 : next arguments;                                                  \
    }
ON_PATH(rename, NAME, to, (const char *from, const char *to), (from, to), const char *, const char *)
ON_PATH(renameat, NAME, to, (int a, const char *from, int b, const char *to), (a, from, b, to), int, const char *, int,
        const char *)
ON_PATH(renameat2, NAME, to, (int a, const char *from, int b, const char *to, unsigned f), (a, from, b, to, f), int,
        const char *, int, const char *, unsigned)
ON_PATH(link, NAME, to, (const char *from, const char *to), (from, to), const char *, const char *)
ON_PATH(linkat, NAME, to, (int a, const char *from, int b, const char *to, int f), (a, from, b, to, f), int,
        const char *, int, const char *, int)
ON_PATH(unlink, NAME, at, (const char *at), (at), const char *)
ON_PATH(unlinkat, NAME, at, (int a, const char *at, int f), (a, at, f), int, const char *, int)
ON_PATH(mkdir, NAME, at, (const char *at, mode_t mode), (at, mode), const char *, mode_t)
ON_PATH(mkdirat, NAME, at, (int a, const char *at, mode_t mode), (a, at, mode), int, const char *, mode_t)

static int creates(int flags) { return (flags & O_CREAT) != 0; }
static mode_t third(int flags, va_list more) { return creates(flags) ? va_arg(more, mode_t) : 0; }

/* Opening to read changes nothing and is not counted. */
#define OPENS(name, parameters, lead, ...)                                                                             \
    int name parameters                                                                                                \
    {                                                                                                                  \
        NEXT(int, #name, __VA_ARGS__);                                                                                 \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = third(flags, more);                                                                              \
        va_end(more);                                                                                                  \
        if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && strike_path(OPEN, at) == FAIL)                                  \
            return -1;                                                                                                 \
        return next lead;                                                                                              \
    }
OPENS(open, (const char *at, int flags, ...), (at, flags, mode), const char *, int, ...)
OPENS(open64, (const char *at, int flags, ...), (at, flags, mode), const char *, int, ...)
OPENS(openat, (int a, const char *at, int flags, ...), (a, at, flags, mode), int, const char *, int, ...)
OPENS(openat64, (int a, const char *at, int flags, ...), (a, at, flags, mode), int, const char *, int, ...)
