/* A collector for tests: what VTune puts behind INTEL_JIT_PROFILER64, which only writes down what it is told.
 *
 * The loader of ittapi (jitprofiling.c) looks for two symbols, `Initialize` and `NotifyEvent`, when the first event is
 * sent. Each event becomes a line of the file that WITPROF_TEST_COLLECTOR_LOG names, its fields separated by tabs:
 * event number, method id, address in hexadecimal, size, method name, class, source file. Those of an event without a
 * method are zeros and nothing. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAMPLING_ON = 1, EVENT_METHOD_LOAD_FINISHED = 13 };

/* `iJIT_Method_Load` of jitprofiling.h. */
struct method_load {
    unsigned int method_id;
    const char *method_name;
    void *method_load_address;
    unsigned int method_size;
    unsigned int line_number_size;
    void *line_number_table;
    unsigned int class_id;
    const char *class_file_name;
    const char *source_file_name;
};

static const char *or_nothing(const char *text) { return text ? text : ""; }

unsigned int Initialize(void) { return SAMPLING_ON; }

/* Opens the file anew for each event, so that what was told is there however the process ends. */
unsigned int NotifyEvent(unsigned int event, void *data)
{
    static const struct method_load none;
    const struct method_load *method = event == EVENT_METHOD_LOAD_FINISHED && data ? data : &none;
    const char *path = getenv("WITPROF_TEST_COLLECTOR_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (!log)
        return 0;
    fprintf(log, "%u\t%u\t%jx\t%u\t%s\t%s\t%s\n", event, method->method_id,
            (uintmax_t)(uintptr_t)method->method_load_address, method->method_size, or_nothing(method->method_name),
            or_nothing(method->class_file_name), or_nothing(method->source_file_name));
    return fclose(log) == 0;
}
