/* Put before the C library (LD_PRELOAD), it moves the machine's wall clock for one process by WRONG_CLOCK_SECONDS.
   Uptime is left alone, as it is when somebody sets a machine's clock wrongly. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long off(void) {
    const char *seconds = getenv("WRONG_CLOCK_SECONDS");
    return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t which, struct timespec *told) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, told);
    if (!result && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) told->tv_sec += off();
    return result;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone) {
    static int (*real)(struct timeval *restrict, void *restrict);
    if (!real) real = (int (*)(struct timeval *restrict, void *restrict))dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(told, zone);
    if (!result && told) told->tv_sec += off();
    return result;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
