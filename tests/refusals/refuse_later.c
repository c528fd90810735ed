/* By LD_PRELOAD: grants the process as many timers as GRANTED_TIMERS says, and fails then, as the kernel does at the limit on
   pending signals. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer) {
  static int made;
  const char *granted = getenv("GRANTED_TIMERS");
  if (granted && __sync_fetch_and_add(&made, 1) >= atoi(granted)) {
    errno = EAGAIN;
    return -1;
  }
  int (*real)(clockid_t, struct sigevent *, timer_t *) = dlsym(RTLD_NEXT, "timer_create");
  return real(clock, event, timer);
}
