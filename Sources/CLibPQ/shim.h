// libpq, the C client of PostgreSQL. Imported by the target Postgres alone, and never linked: see Postgres/LibPQ.swift.
#include <dlfcn.h>
#include <stddef.h>
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif

#define LIBPQ_FUNCTIONS(FUNCTION) \
    FUNCTION(PQcancel) \
    FUNCTION(PQclear) \
    FUNCTION(PQconndefaults) \
    FUNCTION(PQconnectPoll) \
    FUNCTION(PQconnectStartParams) \
    FUNCTION(PQconninfoFree) \
    FUNCTION(PQconninfoParse) \
    FUNCTION(PQconsumeInput) \
    FUNCTION(PQerrorMessage) \
    FUNCTION(PQfinish) \
    FUNCTION(PQflush) \
    FUNCTION(PQfreeCancel) \
    FUNCTION(PQgetCancel) \
    FUNCTION(PQgetResult) \
    FUNCTION(PQgetisnull) \
    FUNCTION(PQgetlength) \
    FUNCTION(PQgetvalue) \
    FUNCTION(PQisBusy) \
    FUNCTION(PQnfields) \
    FUNCTION(PQntuples) \
    FUNCTION(PQparameterStatus) \
    FUNCTION(PQresultErrorField) \
    FUNCTION(PQresultErrorMessage) \
    FUNCTION(PQresultStatus) \
    FUNCTION(PQsendQuery) \
    FUNCTION(PQsendQueryParams) \
    FUNCTION(PQsetnonblocking) \
    FUNCTION(PQsocket) \
    FUNCTION(PQstatus)

// The functions of the loaded library, each under its name.
struct __attribute__((swift_attr("@Sendable"))) LibPQ {
#define FIELD(name) __typeof__(&name) name;
    LIBPQ_FUNCTIONS(FIELD)
#undef FIELD
};

// Loads the library; NULL, or why that failed. The number is of its interface, the same since PostgreSQL 8.2.
static inline const char *libpq_load(struct LibPQ *functions) {
    void *library = dlopen("libpq.so.5", RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL) return dlerror();
#define LOAD(name) \
    functions->name = (__typeof__(functions->name))dlsym(library, #name); \
    if (functions->name == NULL) return dlerror();
    LIBPQ_FUNCTIONS(LOAD)
#undef LOAD
    return NULL;
}

// A character macro, which Swift does not import.
static const int shim_diagnosis_sqlstate = PG_DIAG_SQLSTATE;
