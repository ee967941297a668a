// hiredis, the C client of Redis. Imported by the target Redis alone.
#include <limits.h>
#include <stdlib.h>
#include <hiredis/hiredis.h>

// Who is told what a reader reads, in order, each list before its elements. A function that returns 0 ends the reading.
//
// hiredis's own objects are not used: it makes room for all elements that a list announces before it has read one of them,
// so that ten bytes would take gigabytes, and a small element takes a hundred times the memory that it has bytes.
struct shim_listener {
    void *context;
    int (*string)(void *context, const char *bytes, size_t length, int is_error);
    int (*integer)(void *context, long long value);
    int (*null)(void *context);
    int (*list)(void *context, long long count);
};

struct shim_reader_parts {
    struct shim_listener listener;
    redisReplyObjectFunctions functions;
};

// hiredis wants an object for all that it reads, and takes NULL for an error.

static inline void *shim_create_string(const redisReadTask *task, char *bytes, size_t length) {
    struct shim_listener *listener = task->privdata;
    return listener->string(listener->context, bytes, length, task->type == REDIS_REPLY_ERROR) ? listener : NULL;
}

static inline void *shim_create_integer(const redisReadTask *task, long long value) {
    struct shim_listener *listener = task->privdata;
    return listener->integer(listener->context, value) ? listener : NULL;
}

static inline void *shim_create_nil(const redisReadTask *task) {
    struct shim_listener *listener = task->privdata;
    return listener->null(listener->context) ? listener : NULL;
}

#if HIREDIS_MAJOR >= 1

static inline void *shim_create_array(const redisReadTask *task, size_t count) {
    struct shim_listener *listener = task->privdata;
    return count <= LONG_MAX && listener->list(listener->context, count) ? listener : NULL;
}

static inline void *shim_create_double(const redisReadTask *task, double value, char *text, size_t length) {
    (void)value;
    return shim_create_string(task, text, length);
}

static inline void *shim_create_bool(const redisReadTask *task, int value) {
    return shim_create_integer(task, value);
}

#else

static inline void *shim_create_array(const redisReadTask *task, int count) {
    struct shim_listener *listener = task->privdata;
    return listener->list(listener->context, count) ? listener : NULL;
}

#endif

static inline redisReader *shim_reader_create(struct shim_listener listener) {
    struct shim_reader_parts *parts = calloc(1, sizeof *parts);
    if (parts == NULL) return NULL;
    parts->listener = listener;
    parts->functions.createString = shim_create_string;
    parts->functions.createArray = shim_create_array;
    parts->functions.createInteger = shim_create_integer;
    parts->functions.createNil = shim_create_nil;
#if HIREDIS_MAJOR >= 1
    parts->functions.createDouble = shim_create_double;
    parts->functions.createBool = shim_create_bool;
#endif
    redisReader *reader = redisReaderCreateWithFunctions(&parts->functions);
    if (reader == NULL) {
        free(parts);
        return NULL;
    }
    // The first part of the parts.
    reader->privdata = &parts->listener;
    return reader;
}

static inline void shim_reader_free(redisReader *reader) {
    void *parts = reader->privdata;
    redisReaderFree(reader);
    free(parts);
}
