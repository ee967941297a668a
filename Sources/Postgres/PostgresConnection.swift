internal import CLibPQ
internal import Glibc

/// One connection, owned. It blocks its thread, so it must never be used on Swift's cooperative pool.
///
/// After a thrown `timeout` or `connectionLost` it must be dropped.
struct PostgresConnection: ~Copyable {
    private let connection: OpaquePointer
    private let address: String
    private let timeout: Duration

    /// Connects and logs in within `timeout`.
    init(to address: PostgresAddress, timeout: Duration) throws(PostgresError) {
        let name = address.redacted
        var parameters = address.parameters
        parameters["application_name"] = "celery-beat-exporter"
        parameters["client_encoding"] = "UTF8"
        // Without these a server that vanished would keep the socket, and the cancel thread, for many minutes.
        parameters["keepalives_idle"] = parameters["keepalives_idle"] ?? "30"
        parameters["tcp_user_timeout"] =
            parameters["tcp_user_timeout"] ?? String(Int(timeout / .milliseconds(1)))

        let keywords = parameters.keys.sorted()
        guard
            let connection = withCStrings(
                keywords,
                keywords.map { parameters[$0] ?? "" },
                { libpq.PQconnectStartParams($0, $1, 0) }
            )
        else { throw .connect(address: name, cause: "out of memory") }

        let deadline = ContinuousClock.now + timeout
        // As libpq's manual asks: wait for writing first, then for whatever PQconnectPoll says.
        var awaited = PGRES_POLLING_WRITING
        while awaited != PGRES_POLLING_OK {
            let failed = libpq.PQstatus(connection) == CONNECTION_BAD || awaited == PGRES_POLLING_FAILED
            if !failed, waitForSocket(of: connection, writing: awaited == PGRES_POLLING_WRITING, until: deadline) {
                awaited = libpq.PQconnectPoll(connection)
                continue
            }
            let cause = oneLine(libpq.PQerrorMessage(connection))
            libpq.PQfinish(connection)
            throw failed ? .connect(address: name, cause: cause) : .timeout(address: name, after: timeout)
        }
        guard libpq.PQsetnonblocking(connection, 1) == 0 else {
            libpq.PQfinish(connection)
            throw .connect(address: name, cause: "the socket cannot be made non-blocking")
        }
        self.connection = connection
        self.address = name
        self.timeout = timeout
    }

    deinit {
        libpq.PQfinish(connection)
    }

    /// Whether the database holds bytes of no known encoding, as old ones under the C locale do.
    var holdsPlainBytes: Bool {
        libpq.PQparameterStatus(connection, "server_encoding").map { String(cString: $0) } == "SQL_ASCII"
    }

    /// Runs one statement with parameters ($1, $2, ...) and returns its rows.
    func query(_ sql: String, _ arguments: [String], until deadline: ContinuousClock.Instant) throws(PostgresError)
        -> [PostgresRow]
    {
        let sent =
            arguments.isEmpty
            // The simple protocol, which takes several statements at once.
            ? libpq.PQsendQuery(connection, sql)
            : withCStrings(arguments, []) { values, _ in
                libpq.PQsendQueryParams(connection, sql, CInt(arguments.count), nil, values, nil, nil, 0)
            }
        guard sent == 1 else { throw lost() }
        while true {
            let pending = libpq.PQflush(connection)
            guard pending >= 0 else { throw lost() }
            if pending == 0 { break }
            try wait(writing: true, until: deadline)
            guard libpq.PQconsumeInput(connection) == 1 else { throw lost() }
        }

        var rows: [PostgresRow] = []
        var failure: PostgresError?
        while true {
            while libpq.PQisBusy(connection) == 1 {
                try wait(writing: false, until: deadline)
                guard libpq.PQconsumeInput(connection) == 1 else { throw lost() }
            }
            guard let result = libpq.PQgetResult(connection) else { break }
            defer { libpq.PQclear(result) }
            switch libpq.PQresultStatus(result) {
            case PGRES_TUPLES_OK: rows = Self.rows(of: result)
            case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
            default:
                let state = libpq.PQresultErrorField(result, shim_diagnosis_sqlstate).map { String(cString: $0) } ?? ""
                let message = oneLine(libpq.PQresultErrorMessage(result))
                // Class 57P: the server shuts down or has ended this session.
                failure =
                    state.hasPrefix("57P")
                    ? .connectionLost(address: address, cause: message)
                    : .server(address: address, state: state, message: message)
            }
        }
        if libpq.PQstatus(connection) == CONNECTION_BAD { throw lost() }
        if let failure { throw failure }
        return rows
    }

    private func wait(writing: Bool, until deadline: ContinuousClock.Instant) throws(PostgresError) {
        if waitForSocket(of: connection, writing: writing, until: deadline) { return }
        cancel()
        throw .timeout(address: address, after: timeout)
    }

    /// Asks the server to stop the running query. PQcancel blocks until the server has answered, which a hung server
    /// never does, so it gets a thread of its own; the kernel ends it through tcp_user_timeout and keepalives.
    private func cancel() {
        guard let cancel = libpq.PQgetCancel(connection) else { return }
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            nil,
            { cancel in
                var message: [CChar] = Array(repeating: 0, count: 256)
                _ = libpq.PQcancel(OpaquePointer(cancel), &message, CInt(message.count))
                libpq.PQfreeCancel(OpaquePointer(cancel))
                return nil
            },
            UnsafeMutableRawPointer(cancel)
        )
        if status == 0 {
            pthread_detach(thread)
        } else {
            libpq.PQfreeCancel(cancel)
        }
    }

    func refusal(_ state: String, _ message: String) -> PostgresError {
        .server(address: address, state: state, message: message)
    }

    private func lost() -> PostgresError {
        .connectionLost(address: address, cause: oneLine(libpq.PQerrorMessage(connection)))
    }

    private static func rows(of result: OpaquePointer) -> [PostgresRow] {
        let columns = libpq.PQnfields(result)
        return (0..<libpq.PQntuples(result)).map { row in
            PostgresRow(
                columns: (0..<columns).map { column in
                    guard libpq.PQgetisnull(result, row, column) == 0, let start = libpq.PQgetvalue(result, row, column)
                    else {
                        return nil
                    }
                    let bytes = UnsafeRawBufferPointer(start: start, count: Int(libpq.PQgetlength(result, row, column)))
                    return String(decoding: bytes, as: UTF8.self)
                }
            )
        }
    }
}

/// Waits until the socket can be read (or written); false when the deadline came first.
private func waitForSocket(of connection: OpaquePointer, writing: Bool, until deadline: ContinuousClock.Instant) -> Bool
{
    let events = writing ? POLLIN | POLLOUT : POLLIN
    var descriptor = pollfd(fd: libpq.PQsocket(connection), events: Int16(events), revents: 0)
    while true {
        let remaining = ContinuousClock.now.duration(to: deadline)
        guard remaining > .zero else { return false }
        let ready = poll(&descriptor, 1, CInt(remaining / .milliseconds(1)) + 1)
        if ready > 0 { return true }
        // Any other failure of poll shows in libpq's next call.
        if ready < 0, errno != EINTR { return true }
    }
}

/// libpq's messages end in line breaks and may have several lines; a log line has one.
private func oneLine(_ message: UnsafePointer<CChar>?) -> String {
    guard let message else { return "no message" }
    return String(cString: message).split { $0.isNewline || $0 == "\t" }.joined(separator: " ")
}

/// Calls `body` with two NULL-terminated arrays of C strings that live as long as the call.
private func withCStrings<Result>(
    _ first: [String],
    _ second: [String],
    _ body: (UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<UnsafePointer<CChar>?>?) -> Result
) -> Result {
    let copies = [first, second].map { strings in strings.map { strdup($0) } }
    defer { copies.joined().forEach { free($0) } }
    let pointers = copies.map { strings in strings.map { UnsafePointer($0) } + [nil] }
    return body(pointers[0], pointers[1])
}
