// GnuTLS, which libmicrohttpd speaks TLS with. Imported by the target HTTP alone.
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <gnutls/crypto.h>

// gnutls_free is a variable that holds a function, and Swift lets no thread near those.
static inline void shim_gnutls_free(void *memory) {
    gnutls_free(memory);
}
