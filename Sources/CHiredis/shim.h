// hiredis, the C client of Redis. Imported by the target Redis alone.
#include <stdlib.h>
#include <hiredis/hiredis.h>

// A reader of replies. Left to itself hiredis makes room for all elements that an array announces before it has read one
// of them: ten bytes would take gigabytes, and seconds to free. More than these are refused.
#define SHIM_MAXIMUM_ELEMENTS (1 << 20)

#if HIREDIS_MAJOR >= 1

static inline redisReader *shim_reader_create(void) {
    redisReader *reader = redisReaderCreate();
    if (reader != NULL) reader->maxelements = SHIM_MAXIMUM_ELEMENTS;
    return reader;
}

static inline void shim_reader_free(redisReader *reader) {
    redisReaderFree(reader);
}

#else  // It has no such bound, so its function that makes arrays is replaced.

struct shim_functions {
    redisReplyObjectFunctions bounded;
    redisReplyObjectFunctions *original;
};

static inline void *shim_create_array(const redisReadTask *task, int elements) {
    const struct shim_functions *functions = task->privdata;
    return elements > SHIM_MAXIMUM_ELEMENTS ? NULL : functions->original->createArray(task, elements);
}

static inline redisReader *shim_reader_create(void) {
    redisReader *reader = redisReaderCreate();
    struct shim_functions *functions = malloc(sizeof *functions);
    if (reader == NULL || functions == NULL) {
        if (reader != NULL) redisReaderFree(reader);
        free(functions);
        return NULL;
    }
    functions->original = reader->fn;
    functions->bounded = *reader->fn;
    functions->bounded.createArray = shim_create_array;
    reader->fn = &functions->bounded;
    reader->privdata = functions;
    return reader;
}

static inline void shim_reader_free(redisReader *reader) {
    void *functions = reader->privdata;
    redisReaderFree(reader);
    free(functions);
}

#endif
