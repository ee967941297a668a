internal import CHiredis
internal import Glibc

/// Bounds of every conversation with Redis.
package struct RedisLimits: Sendable {
    /// Time to connect.
    package var connectTimeout: Duration
    /// Time from sending a pipeline to its last reply.
    package var commandTimeout: Duration
    /// Bytes of all replies to one pipeline.
    package var replyBytes: Int

    package init(connectTimeout: Duration, commandTimeout: Duration, replyBytes: Int = 64 << 20) {
        self.connectTimeout = connectTimeout
        self.commandTimeout = commandTimeout
        self.replyBytes = replyBytes
    }
}

/// One connection, owned. It blocks its thread, so it must never be used on Swift's cooperative pool.
///
/// After a thrown error the connection is unusable and must be dropped: replies could no longer be matched to commands.
struct RedisConnection: ~Copyable {
    private let context: UnsafeMutablePointer<redisContext>
    private let address: String
    private let limits: RedisLimits

    /// Connects within `limits.connectTimeout`; `logIn` comes next.
    init(to address: RedisAddress, limits: RedisLimits) throws(RedisError) {
        let name = address.redacted
        let connected =
            switch address.endpoint {
            case .tcp(let host, let port):
                redisConnectWithTimeout(host, CInt(port), timeval(limits.connectTimeout))
            case .unix(let path):
                redisConnectUnixWithTimeout(path, timeval(limits.connectTimeout))
            }
        guard let context = connected else { throw .connect(address: name, cause: "out of memory") }
        guard context.pointee.err == 0 else {
            let cause = context.errorText
            redisFree(context)
            throw .connect(address: name, cause: cause)
        }
        // Covers writes: reads are guarded by a deadline of their own.
        guard redisSetTimeout(context, timeval(limits.commandTimeout)) == REDIS_OK else {
            let cause = context.errorText
            redisFree(context)
            throw .connect(address: name, cause: cause)
        }
        self.context = context
        self.address = name
        self.limits = limits
    }

    deinit {
        redisFree(context)
    }

    /// Authenticates and selects the database.
    func logIn(_ address: RedisAddress) throws(RedisError) {
        var commands: [RedisCommand] = []
        if let password = address.password {
            commands.append(address.user.map { RedisCommand("AUTH", $0, password) } ?? RedisCommand("AUTH", password))
        }
        // Access lists need not allow what is not needed.
        if address.database != 0 { commands.append(RedisCommand("SELECT", address.database)) }
        // A name in CLIENT LIST, for whoever wonders who is connected. Refused by some access lists, which is fine.
        let replies = try pipeline(commands + [RedisCommand("CLIENT", "SETNAME", "celery-beat-exporter")])
        for (index, reply) in replies.enumerated() {
            guard let error = reply.error else { continue }
            // A server that does not know AUTH quotes its arguments.
            let message = String(error[..<(error.firstRange(of: ", with args")?.lowerBound ?? error.endIndex)])
            let isSetName = index == replies.count - 1
            if isSetName, message.hasPrefix("NOPERM") || message.hasPrefix("ERR unknown") { continue }
            // A server that takes no more clients answers the first command so, whatever it is.
            if message.hasPrefix("ERR max number of clients") { throw .server(address: self.address, message: message) }
            if isSetName, !message.hasPrefix("NOAUTH") { throw .server(address: self.address, message: message) }
            throw .authentication(address: self.address, cause: message)
        }
    }

    /// Sends all commands in one go and returns their replies in order: one round trip.
    func pipeline(_ commands: [RedisCommand]) throws(RedisError) -> [RedisValue] {
        let deadline = ContinuousClock.now + limits.commandTimeout
        for command in commands { try append(command) }
        var done: CInt = 0
        while done == 0 {
            guard redisBufferWrite(context, &done) == REDIS_OK else { throw failure() }
        }
        var replies: [RedisValue] = []
        replies.reserveCapacity(commands.count)
        var received = 0
        while replies.count < commands.count {
            var reply: UnsafeMutableRawPointer?
            guard redisGetReplyFromReader(context, &reply) == REDIS_OK else { throw failure() }
            if let reply {
                defer { freeReplyObject(reply) }
                replies.append(RedisValue(copying: reply.assumingMemoryBound(to: redisReply.self)))
                continue
            }
            received += try readMore(until: deadline)
            guard received <= limits.replyBytes else {
                throw .replyTooLarge(address: address, limit: limits.replyBytes)
            }
        }
        return replies
    }

    private func append(_ command: RedisCommand) throws(RedisError) {
        let lengths = command.arguments.map(\.count)
        let flat = command.arguments.flatMap { $0 }
        let status = flat.withUnsafeBufferPointer { bytes in
            var pointers: [UnsafePointer<CChar>?] = []
            var offset = 0
            let base = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
            for length in lengths {
                pointers.append(base.map { $0 + offset })
                offset += length
            }
            return redisAppendCommandArgv(context, CInt(lengths.count), &pointers, lengths)
        }
        guard status == REDIS_OK else { throw failure() }
    }

    /// Waits for bytes and hands them to the reader; returns how many came.
    private func readMore(until deadline: ContinuousClock.Instant) throws(RedisError) -> Int {
        var descriptor = pollfd(fd: context.pointee.fd, events: Int16(POLLIN), revents: 0)
        while true {
            let remaining = ContinuousClock.now.duration(to: deadline)
            guard remaining > .zero else { throw timeout() }
            let ready = poll(&descriptor, 1, CInt(remaining / .milliseconds(1)) + 1)
            if ready > 0 { break }
            if ready == 0 { throw timeout() }
            guard errno == EINTR else {
                throw .connectionLost(address: address, cause: String(cString: strerror(errno)))
            }
        }
        let before = context.pointee.reader.pointee.len
        guard redisBufferRead(context) == REDIS_OK else { throw failure() }
        return context.pointee.reader.pointee.len - before
    }

    private func timeout() -> RedisError {
        .timeout(address: address, after: limits.commandTimeout)
    }

    private func failure() -> RedisError {
        // A write that hit SO_SNDTIMEO ends with EAGAIN.
        if context.pointee.err == REDIS_ERR_IO, errno == EAGAIN { return timeout() }
        return .connectionLost(address: address, cause: context.errorText)
    }
}

extension UnsafeMutablePointer where Pointee == redisContext {
    /// hiredis's own words for what went wrong.
    fileprivate var errorText: String {
        withUnsafePointer(to: &pointee.errstr) { tuple in
            tuple.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: pointee.errstr)) {
                String(cString: $0)
            }
        }
    }
}

extension RedisValue {
    /// Copies a reply; hiredis bounds the depth of nesting at seven.
    fileprivate init(copying reply: UnsafeMutablePointer<redisReply>) {
        func bytes() -> [UInt8] {
            guard let start = reply.pointee.str else { return [] }
            return Array(UnsafeRawBufferPointer(start: start, count: reply.pointee.len))
        }
        switch reply.pointee.type {
        case REDIS_REPLY_INTEGER: self = .integer(reply.pointee.integer)
        case REDIS_REPLY_STRING, REDIS_REPLY_STATUS: self = .string(bytes())
        case REDIS_REPLY_ERROR: self = .error(String(decoding: bytes(), as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            self = .array(
                (0..<reply.pointee.elements).map { index in
                    reply.pointee.element[index].map { RedisValue(copying: $0) } ?? .null
                }
            )
        default: self = .null
        }
    }
}

extension timeval {
    fileprivate init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
}
