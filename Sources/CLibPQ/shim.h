// libpq, the C client of PostgreSQL. Imported by the target Postgres alone, and never linked: see Postgres/LibPQ.swift.
#include <dlfcn.h>
#include <stddef.h>
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif

#define LIBPQ_FUNCTIONS(FUNCTION) \
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
    FUNCTION(PQsetNoticeReceiver) \
    FUNCTION(PQsetSingleRowMode) \
    FUNCTION(PQsetnonblocking) \
    FUNCTION(PQsocket) \
    FUNCTION(PQsslStruct) \
    FUNCTION(PQstatus)

// Of the OpenSSL that libpq itself uses; NULL where it uses none. Each gets what PQsslStruct gives.
#define OPENSSL_FUNCTIONS(FUNCTION) \
    FUNCTION(SSL_peek, int, (void *, void *, int)) \
    FUNCTION(SSL_pending, int, (const void *)) \
    FUNCTION(ERR_clear_error, void, (void)) \
    FUNCTION(ERR_peek_last_error, unsigned long, (void)) \
    FUNCTION(ERR_reason_error_string, const char *, (unsigned long))

// The functions of the loaded library, each under its name.
struct __attribute__((swift_attr("@Sendable"))) LibPQ {
#define FIELD(name) __typeof__(&name) name;
    LIBPQ_FUNCTIONS(FIELD)
#undef FIELD
#define FIELD(name, result, parameters) result (*name) parameters;
    OPENSSL_FUNCTIONS(FIELD)
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
#define LOAD(name, result, parameters) functions->name = (result (*) parameters)dlsym(library, #name);
    OPENSSL_FUNCTIONS(LOAD)
#undef LOAD
    return NULL;
}

// A character macro, which Swift does not import.
static const int shim_diagnosis_sqlstate = PG_DIAG_SQLSTATE;

// Of a libpq whose notices go nowhere: by default it prints them, whoever sent them.
static inline void libpq_ignore_notice(void *argument, const PGresult *notice) { (void)argument, (void)notice; }
