// libmicrohttpd, the C web server. Imported by the target HTTP alone.
// Its entry points that take variadic options are wrapped here, since Swift does not import variadic C functions.
#include <sys/types.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <microhttpd.h>

// Leaves a path as it was sent: decoding could put a zero byte into it, where it would seem to end.
static inline size_t shim_keep_escapes(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}

// MHD_start_daemon, listening on a socket that the caller has bound.
static inline struct MHD_Daemon *shim_start_daemon(
    int listen_socket,
    unsigned int connection_limit,
    unsigned int connection_limit_per_address,
    unsigned int idle_timeout_seconds,
    size_t connection_memory_bytes,
    MHD_AccessHandlerCallback handler,
    void *handler_context
) {
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC,
        0, NULL, NULL,
        handler, handler_context,
        MHD_OPTION_LISTEN_SOCKET, listen_socket,
        MHD_OPTION_CONNECTION_LIMIT, connection_limit,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, connection_limit_per_address,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_timeout_seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, connection_memory_bytes,
        MHD_OPTION_UNESCAPE_CALLBACK, shim_keep_escapes, NULL,
        MHD_OPTION_END
    );
}
