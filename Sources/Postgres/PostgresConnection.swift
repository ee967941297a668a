internal import CLibPQ
internal import Glibc
internal import System

/// One connection, owned by whoever has it: for one thread at a time. It blocks its thread, so it must never be used on Swift's
/// cooperative pool.
///
/// After any error but `server` it must be dropped.
final class PostgresConnection: @unchecked Sendable {
    let address: PostgresAddress
    private let connection: OpaquePointer
    private let relay: SocketRelay
    private var isClosed = false
    let name: String
    /// What errors call the time that there was.
    var timeout: Duration

    /// Bytes that a server may send before it lets a client in, or before a row is at its end.
    private static let maximumMessageBytes = 256 << 10
    /// Of statements in one question. Its transaction's beginning has five.
    private static let maximumResults = 20

    /// Connects and logs in.
    /// - Parameters:
    ///   - peerTimeout: after which the kernel gives up a peer that has vanished.
    ///   - timeout: what errors call the time that there is.
    ///   - deadline: by when that must be done.
    init(
        to address: PostgresAddress,
        peerTimeout: Duration,
        timeout: Duration,
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) {
        let name = address.redacted
        var parameters = address.parameters
        parameters["application_name"] = "celery-beat-exporter"
        parameters["client_encoding"] = "UTF8"
        // Without these a server that vanished would keep the socket for many minutes.
        parameters["keepalives_idle"] = parameters["keepalives_idle"] ?? "30"
        parameters["tcp_user_timeout"] =
            parameters["tcp_user_timeout"] ?? String(Int(peerTimeout / .milliseconds(1)))

        let keywords = parameters.keys.sorted()
        guard
            let connection = withCStrings(
                keywords,
                keywords.map { parameters[$0] ?? "" },
                { libpq.PQconnectStartParams($0, $1, 0) }
            )
        else { throw .connect(address: name, cause: "out of memory") }
        _ = libpq.PQsetNoticeReceiver(connection, libpq_ignore_notice, nil)
        do throws(PostgresError) {
            relay = try Self.logIn(connection, name, timeout, until: deadline)
        } catch {
            libpq.PQfinish(connection)
            throw error
        }
        guard libpq.PQsetnonblocking(connection, 1) == 0 else {
            libpq.PQfinish(connection)
            throw .connect(address: name, cause: "the socket cannot be made non-blocking")
        }
        self.connection = connection
        self.address = address
        self.name = name
        self.timeout = timeout
    }

    deinit {
        close()
    }

    /// Ends the session. Nothing else may be done with it afterwards.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        libpq.PQfinish(connection)
        relay.close()
    }

    private static func logIn(
        _ connection: OpaquePointer,
        _ name: String,
        _ timeout: Duration,
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) -> SocketRelay {
        var relay: SocketRelay?
        // As libpq's manual asks: wait for writing first, then for whatever PQconnectPoll says.
        var awaited = PGRES_POLLING_WRITING
        while awaited != PGRES_POLLING_OK {
            let status = libpq.PQstatus(connection)
            guard status != CONNECTION_BAD, awaited != PGRES_POLLING_FAILED else {
                throw .connect(address: name, cause: plainLine(libpq.PQerrorMessage(connection)))
            }
            let outcome: SocketRelay.Outcome
            let writing = awaited == PGRES_POLLING_WRITING
            let descriptor = libpq.PQsocket(connection)
            if status == CONNECTION_STARTED || status == CONNECTION_NEEDED {
                outcome = DescriptorWait.until(writing ? .either : .readable, descriptor, by: deadline) ? .ready : .late
            } else {
                // It may have gone on to another of several servers, or to another way to encrypt.
                if relay?.stands(before: descriptor) != true {
                    relay = SocketRelay(before: descriptor, allowance: maximumMessageBytes)
                }
                guard let relay else { throw .connect(address: name, cause: "the system has no more descriptors") }
                outcome = relay.carry(
                    writing: writing,
                    tls: status == CONNECTION_SSL_STARTUP ? nil : libpq.PQsslStruct(connection, "OpenSSL"),
                    isLoggingIn: status == CONNECTION_AWAITING_RESPONSE,
                    until: deadline
                )
            }
            switch outcome {
            case .ready: awaited = libpq.PQconnectPoll(connection)
            case .late: throw .timeout(address: name, after: timeout)
            case .overLimit: throw .overLimit(address: name, limit: "\(maximumMessageBytes >> 10) kB for a login")
            case .refused(let cause): throw .connect(address: name, cause: cause)
            }
        }
        let descriptor = libpq.PQsocket(connection)
        if let relay, relay.stands(before: descriptor) { return relay }
        guard let relay = SocketRelay(before: descriptor, allowance: maximumMessageBytes) else {
            throw .connect(address: name, cause: "the system has no more descriptors")
        }
        return relay
    }

    /// Whether the database holds bytes of no known encoding, as old ones under the C locale do.
    var holdsPlainBytes: Bool {
        libpq.PQparameterStatus(connection, "server_encoding").map { String(cString: $0) } == "SQL_ASCII"
    }

    /// Runs one statement with parameters ($1, $2, ...) and returns its rows.
    ///
    /// - Parameter memory: bytes that the rows may take.
    func query(
        _ sql: String,
        _ arguments: [String],
        memory: Int,
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) -> [PostgresRow] {
        try send(sql, arguments, until: deadline)
        var rows: [PostgresRow] = []
        var (memoryUsed, resultCount) = (0, 0)
        var failure: PostgresError?
        while let result = try nextResult(until: deadline) {
            defer { libpq.PQclear(result) }
            switch libpq.PQresultStatus(result) {
            case PGRES_SINGLE_TUPLE:
                let row = Self.row(result)
                rows.append(row)
                memoryUsed += row.memory
                guard memoryUsed <= memory else {
                    throw .overLimit(address: name, limit: "\(memory >> 20) MB of rows")
                }
                continue
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
            case PGRES_FATAL_ERROR, PGRES_NONFATAL_ERROR:
                let state = sqlState(libpq.PQresultErrorField(result, shim_diagnosis_sqlstate))
                let message = plainLine(libpq.PQresultErrorMessage(result))
                // Class 57P: the server shuts down or has ended this session.
                failure =
                    state.hasPrefix("57P")
                    ? .connectionLost(address: name, cause: message)
                    : .server(address: name, state: state, message: message)
            // COPY, of which libpq would tell again and again.
            default: throw .connectionLost(address: name, cause: "the server answers what it was not asked")
            }
            resultCount += 1
            guard resultCount <= Self.maximumResults else {
                throw .overLimit(address: name, limit: "\(Self.maximumResults) results")
            }
        }
        if libpq.PQstatus(connection) == CONNECTION_BAD { throw lost() }
        if let failure { throw failure }
        return rows
    }

    private func send(
        _ sql: String,
        _ arguments: [String],
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) {
        let sent =
            arguments.isEmpty
            // The simple protocol, which takes several statements at once.
            ? libpq.PQsendQuery(connection, sql)
            : withCStrings(arguments, []) { values, _ in
                libpq.PQsendQueryParams(connection, sql, CInt(arguments.count), nil, values, nil, nil, 0)
            }
        // Row by row: as one result they would all be in memory before the first is looked at.
        guard sent == 1, libpq.PQsetSingleRowMode(connection) == 1 else { throw lost() }
        relay.allowance = Self.maximumMessageBytes
        while true {
            let pending = libpq.PQflush(connection)
            guard pending >= 0 else { throw lost() }
            if pending == 0 { return }
            try wait(writing: true, until: deadline)
            guard libpq.PQconsumeInput(connection) == 1 else { throw lost() }
        }
    }

    /// A row, or how a statement ended; nil when all has come.
    private func nextResult(until deadline: ContinuousClock.Instant) throws(PostgresError) -> OpaquePointer? {
        // A server that never pauses is never waited for.
        guard ContinuousClock.now < deadline else { throw .timeout(address: name, after: timeout) }
        while libpq.PQisBusy(connection) == 1 {
            try wait(writing: false, until: deadline)
            guard libpq.PQconsumeInput(connection) == 1 else { throw lost() }
        }
        relay.allowance = Self.maximumMessageBytes
        return libpq.PQgetResult(connection)
    }

    private func wait(writing: Bool, until deadline: ContinuousClock.Instant) throws(PostgresError) {
        let tls = libpq.PQsslStruct(connection, "OpenSSL")
        switch relay.carry(writing: writing, tls: tls, isLoggingIn: false, until: deadline) {
        case .ready: return
        case .late: throw .timeout(address: name, after: timeout)
        case .overLimit: throw .overLimit(address: name, limit: "\(Self.maximumMessageBytes >> 10) kB for a row")
        case .refused(let cause): throw .connectionLost(address: name, cause: cause)
        }
    }

    private func lost() -> PostgresError {
        .connectionLost(address: name, cause: plainLine(libpq.PQerrorMessage(connection)))
    }

    private static func row(_ result: OpaquePointer) -> PostgresRow {
        let columns = 0..<max(0, libpq.PQnfields(result))
        return PostgresRow(
            columns.lazy.map { (column) -> UnsafeRawBufferPointer? in
                guard libpq.PQgetisnull(result, 0, column) == 0, let value = libpq.PQgetvalue(result, 0, column) else {
                    return nil
                }
                return UnsafeRawBufferPointer(start: value, count: max(0, Int(libpq.PQgetlength(result, 0, column))))
            }
        )
    }
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
