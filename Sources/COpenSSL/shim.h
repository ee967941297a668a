// OpenSSL, which carries TLS. Imported by the target Redis alone, and never linked: see Redis/Connection/OpenSSL.swift.
#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define OPENSSL_FUNCTIONS(FUNCTION) \
    FUNCTION(ERR_clear_error) \
    FUNCTION(ERR_peek_error) \
    FUNCTION(ERR_reason_error_string) \
    FUNCTION(SSL_CTX_ctrl) \
    FUNCTION(SSL_CTX_free) \
    FUNCTION(SSL_CTX_load_verify_dir) \
    FUNCTION(SSL_CTX_load_verify_file) \
    FUNCTION(SSL_CTX_new) \
    FUNCTION(SSL_CTX_set_default_passwd_cb) \
    FUNCTION(SSL_CTX_set_default_verify_paths) \
    FUNCTION(SSL_CTX_set_verify) \
    FUNCTION(SSL_CTX_use_PrivateKey_file) \
    FUNCTION(SSL_CTX_use_certificate_chain_file) \
    FUNCTION(SSL_alert_desc_string_long) \
    FUNCTION(SSL_ctrl) \
    FUNCTION(SSL_do_handshake) \
    FUNCTION(SSL_free) \
    FUNCTION(SSL_get0_param) \
    FUNCTION(SSL_get_error) \
    FUNCTION(SSL_get_verify_result) \
    FUNCTION(SSL_new) \
    FUNCTION(SSL_read) \
    FUNCTION(SSL_set1_host) \
    FUNCTION(SSL_set_connect_state) \
    FUNCTION(SSL_set_fd) \
    FUNCTION(SSL_write) \
    FUNCTION(TLS_client_method) \
    FUNCTION(X509_VERIFY_PARAM_set1_ip_asc) \
    FUNCTION(X509_verify_cert_error_string)

// The functions of the loaded library, each under its name.
struct __attribute__((swift_attr("@Sendable"))) OpenSSL {
#define FIELD(name) __typeof__(&name) name;
    OPENSSL_FUNCTIONS(FIELD)
#undef FIELD
};

// Loads the library of the version that these headers are of; NULL, or why that failed.
static inline const char *openssl_load(struct OpenSSL *functions) {
#define TEXT(number) #number
#define LIBRARY(version) "libssl.so." TEXT(version)
    void *library = dlopen(LIBRARY(OPENSSL_SHLIB_VERSION), RTLD_LAZY | RTLD_LOCAL);
#undef LIBRARY
#undef TEXT
    if (library == NULL) return dlerror();
    // Those of libcrypto are found, too: libssl brings it.
#define LOAD(name) \
    functions->name = (__typeof__(functions->name))dlsym(library, #name); \
    if (functions->name == NULL) return dlerror();
    OPENSSL_FUNCTIONS(LOAD)
#undef LOAD
    return NULL;
}

// What OpenSSL offers as macros, which Swift does not import.

// The system's error that an error of OpenSSL's queue stands for, or 0.
static inline int shim_system_error(unsigned long error) {
    return ERR_SYSTEM_ERROR(error) ? (int)(error & ERR_SYSTEM_MASK) : 0;
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
