// backtrace(), which glibc has and Swift's module of it has not, and where the linker put the program's code.
// Imported by the program alone.
#include <execinfo.h>
#include <stdint.h>

extern const char __executable_start, etext;

static inline uintptr_t shim_code_start(void) {
    return (uintptr_t)&__executable_start;
}

static inline uintptr_t shim_code_end(void) {
    return (uintptr_t)&etext;
}
