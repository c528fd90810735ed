/* Another profiler in the process, by LD_PRELOAD: it handles SIGPROF, raises it once itself, and says at the end whether its
   handler is still the one that is called. */
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t ticks;

static void tick(int signal) {
  (void)signal;
  ticks++;
}

__attribute__((constructor)) static void begin(void) { signal(SIGPROF, tick); }

__attribute__((destructor)) static void end(void) {
  sig_atomic_t before = ticks;
  raise(SIGPROF);
  const char *text = ticks == before + 1 ? "the other profiler still ticks\n" : "the other profiler was put out\n";
  const char *last = text;
  while (*last) last++;
  if (write(2, text, last - text)) {}
}
