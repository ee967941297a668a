internal import CLibPQ

/// libpq's functions. It is loaded when the first address of a PostgreSQL is read, not linked: it brings some twenty libraries, which
/// where there is no PostgreSQL would cost a quarter of the start and 2 MB for nothing.
///
/// Only what has a `PostgresAddress` may call them: no address is made where the library cannot be loaded.
let libpq = loaded.functions

/// Why libpq cannot be loaded; nil when it was.
let missingLibPQ = loaded.failure

private let loaded: (functions: LibPQ, failure: String?) = {
    var functions = LibPQ()
    let failure = libpq_load(&functions).map { String(cString: $0) }
    return (functions, failure)
}()
