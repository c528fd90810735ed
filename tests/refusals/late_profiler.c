/* Another profiler in the process, by LD_PRELOAD, that begins when somebody has timers already: it puts its own handler for
   SIGPROF over theirs, and says at the end whether that is still the one. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void tick(int signal) { (void)signal; }

/* Whether the process has a timer. Where the system does not tell, it has. */
static int has_timer(void) {
  char byte;
  int timers = open("/proc/self/timers", O_RDONLY);
  if (timers < 0) return 1;
  int has = read(timers, &byte, 1) == 1;
  close(timers);
  return has;
}

static void *begin_late(void *unused) {
  struct timespec moment = {0, 10000000};
  /* One that stays. */
  for (int seen = 0; seen < 3; seen = has_timer() ? seen + 1 : 0) nanosleep(&moment, 0);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = tick;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPROF, &action, 0);
  return unused;
}

__attribute__((constructor)) static void begin(void) {
  pthread_t thread;
  if (!pthread_create(&thread, 0, begin_late, 0)) pthread_detach(thread);
}

__attribute__((destructor)) static void end(void) {
  struct sigaction now;
  const char *text = !sigaction(SIGPROF, 0, &now) && now.sa_handler == tick ? "the late profiler has its handler\n"
                                                                             : "the late profiler was put out\n";
  if (write(2, text, strlen(text))) {}
}
