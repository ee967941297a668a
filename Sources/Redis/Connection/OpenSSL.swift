internal import COpenSSL

/// OpenSSL's functions. It is loaded when the first files for TLS are read, not linked: where Redis is reached without TLS, it would
/// cost a quarter of the start and 2 MB for nothing.
///
/// Only what has a context of `RedisTLS` may call them: none is made where the library cannot be loaded.
let openSSL = loaded.functions

/// Why OpenSSL cannot be loaded; nil when it was.
let missingOpenSSL = loaded.failure

private let loaded: (functions: OpenSSL, failure: String?) = {
    var functions = OpenSSL()
    let failure = openssl_load(&functions).map { String(cString: $0) }
    return (functions, failure)
}()
