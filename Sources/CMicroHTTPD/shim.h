// libmicrohttpd, the C web server. Imported by the target HTTP alone.
// Its entry points that take variadic options are wrapped here, since Swift does not import variadic C functions.
#include <sys/types.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <stdarg.h>
#include <stdbool.h>
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

// Stands where libmicrohttpd wants a certificate: each session gets its own when it begins, before this is asked.
static inline int shim_no_certificate(void) {
    return -1;
}

// The callbacks of a server. All get the same context.
struct shim_callbacks {
    // A request's line has come.
    void *(*request_line)(void *context, const char *line, struct MHD_Connection *connection);
    // Its headers have come; it wants an answer.
    MHD_AccessHandlerCallback request;
    // Its answer has been sent, or never will be.
    MHD_RequestCompletedCallback completed;
    // A connection begins or ends.
    MHD_NotifyConnectionCallback connection;
    void *context;
};

// MHD_start_daemon without a thread: the caller runs it (MHD_run), on a listening socket that he has bound.
static inline struct MHD_Daemon *shim_start_daemon(
    int listen_socket,
    bool with_tls,
    unsigned int connection_limit,
    size_t connection_memory_bytes,
    struct shim_callbacks callbacks
) {
    // No option is read behind the first MHD_OPTION_END.
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (with_tls ? MHD_USE_TLS : 0),
        0, NULL, NULL,
        callbacks.request, callbacks.context,
        MHD_OPTION_LISTEN_SOCKET, listen_socket,
        MHD_OPTION_CONNECTION_LIMIT, connection_limit,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, connection_memory_bytes,
        MHD_OPTION_UNESCAPE_CALLBACK, shim_keep_escapes, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, callbacks.request_line, callbacks.context,
        MHD_OPTION_NOTIFY_COMPLETED, callbacks.completed, callbacks.context,
        MHD_OPTION_NOTIFY_CONNECTION, callbacks.connection, callbacks.context,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        with_tls ? MHD_OPTION_HTTPS_CERT_CALLBACK : MHD_OPTION_END, shim_no_certificate,
        MHD_OPTION_END
    );
}

// The descriptor that becomes readable when there is something to do for MHD_run; -1 without one.
static inline int shim_epoll_descriptor(struct MHD_Daemon *daemon) {
    const union MHD_DaemonInfo *information = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return information == NULL ? -1 : information->epoll_fd;
}

// What the server keeps with a connection: a place for one pointer, filled when the connection begins.
static inline void *shim_connection_context(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *information =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return information == NULL ? NULL : information->socket_context;
}

static inline int shim_connection_socket(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static inline const struct sockaddr *shim_client_address(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
}

// GnuTLS's session; NULL on a server without TLS.
static inline void *shim_tls_session(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *information =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return information == NULL ? NULL : information->tls_session;
}

// The bytes of a request's head: its line, its headers and the empty line.
static inline size_t shim_header_bytes(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *information =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return information == NULL ? 0 : information->header_size;
}
