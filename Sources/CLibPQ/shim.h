// libpq, the C client of PostgreSQL. Imported by the target Postgres alone.
#include <libpq-fe.h>

// PG_DIAG_SQLSTATE is a character macro, which Swift does not import.
static inline const char *shim_result_sqlstate(const PGresult *result) {
    return PQresultErrorField(result, PG_DIAG_SQLSTATE);
}
