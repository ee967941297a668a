#include "arguments.h"
#include <stddef.h>

extern char **environ;

static int count;
static char **values;

// glibc passes to what runs before `main` the same that it passes to `main` (csu/libc-start.c).
//
// Swift's CommandLine finds them by going back from `environ` on the stack (stdlib/public/stubs/CommandLine.cpp), and
// finds none where a library has set a variable by then: `environ` is elsewhere.
__attribute__((constructor(101))) static void keep(int argument_count, char **arguments) {
    count = argument_count;
    values = arguments;
    // After `clearenv` there is not even an empty list, and Swift's runtime looks into it.
    if (environ == NULL) environ = values + count + 1;
}

const char *given_argument(int index) {
    return index >= 0 && index < count ? values[index] : NULL;
}

static const char *text(char *const *texts, int index) {
    if (texts == NULL) return NULL;
    for (int before = 0; before <= index; before++) {
        if (texts[before] == NULL) return NULL;
    }
    return texts[index];
}

// They follow the arguments, behind a NULL. Source: the System V ABI, "Initial Process Stack".
const char *given_variable(int index) {
    return text(values + count + 1, index);
}

const char *present_variable(int index) {
    return text(environ, index);
}
