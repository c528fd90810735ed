// The program behind samply.json.gz: about 100 ms of work on the CPU, of which `hot` does nine tenths and `cool` the
// rest, and a nap of 20 ms in the middle.
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <time.h>

__attribute__((noinline)) static uint32_t hot(uint32_t seed, uint32_t rounds) {
  for (uint32_t i = 0; i < rounds; i++) seed = seed * 1664525u + 1013904223u;
  return seed;
}

__attribute__((noinline)) static uint32_t cool(uint32_t seed, uint32_t rounds) {
  for (uint32_t i = 0; i < rounds; i++) seed = seed * 22695477u + 1u;
  return seed;
}

int main(int argc, char **argv) {
  (void)argv;
  uint32_t seed = (uint32_t)argc;
  for (int i = 0; i < 100; i++) {
    seed = hot(seed, 720000);
    seed = cool(seed, 80000);
    if (i == 50) nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
  }
  printf("%u\n", seed);
  return 0;
}
