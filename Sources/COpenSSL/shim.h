// OpenSSL, which carries TLS. Imported by the target Redis alone.
#include <string.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// What OpenSSL offers as macros, which Swift does not import.

static inline int shim_require_tls_1_2(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}

// Idle connections keep no buffers, and a write that is tried again may come from another place.
static inline void shim_set_modes(SSL_CTX *context) {
    SSL_CTX_set_mode(
        context,
        SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS
    );
}

static inline long shim_set_server_name(SSL *session, const char *name) {
    return SSL_set_tlsext_host_name(session, name);
}

// What an error of OpenSSL's queue says; NULL when it says nothing.
static inline const char *shim_reason(unsigned long error) {
    return ERR_SYSTEM_ERROR(error) ? strerror((int)(error & ERR_SYSTEM_MASK)) : ERR_reason_error_string(error);
}

// The alert that the peer sent (RFC 8446, 6.2), or 0 when the error is of another kind.
static inline int shim_alert(unsigned long error) {
    int reason = ERR_GET_REASON(error);
    int is_alert = ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET;
    return is_alert ? reason - SSL_AD_REASON_OFFSET : 0;
}

static inline int shim_is_no_tls(unsigned long error) {
    int reason = ERR_GET_REASON(error);
    return ERR_GET_LIB(error) == ERR_LIB_SSL
        && (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG
            || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_BAD_RECORD_TYPE);
}

static inline int shim_is_end_of_file(unsigned long error) {
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}
