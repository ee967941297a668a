// GnuTLS, which libmicrohttpd speaks TLS with, and we. Imported by the target TLS alone.
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <gnutls/crypto.h>

// gnutls_free is a variable that holds a function, and Swift lets no thread near those.
static inline void shim_gnutls_free(void *memory) {
    gnutls_free(memory);
}

// A macro that Swift does not import: keys and signatures must be as strong as RSA with 2048 bits.
static const unsigned shim_verify_flags = GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM);
