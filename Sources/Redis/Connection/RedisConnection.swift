internal import CHiredis

/// Bounds of every conversation with Redis.
package struct RedisLimits: Sendable {
    /// Time for a pipeline, from finding the server to the last reply.
    package var timeout: Duration
    /// Bytes of all replies to one pipeline of one server.
    package var replyBytes: Int

    package init(timeout: Duration, replyBytes: Int = 64 << 20) {
        self.timeout = timeout
        self.replyBytes = replyBytes
    }
}

/// One connection to one server. It blocks its thread, so it must never be used on Swift's cooperative pool.
///
/// Bytes are moved by `ByteStream`; hiredis writes commands and reads replies in its protocol. After a thrown error the
/// connection is unusable and must be dropped: replies could no longer be matched to commands.
final class RedisConnection {
    private let stream: ByteStream
    private let reader: UnsafeMutablePointer<redisReader>
    /// The server, for errors.
    let name: String
    private let limits: RedisLimits

    /// - Parameter name: the server, for errors.
    init(
        to endpoint: RedisEndpoint,
        name: String,
        tls: RedisTLS?,
        limits: RedisLimits,
        until deadline: Deadline
    ) throws(RedisError) {
        do {
            stream = try ByteStream(to: endpoint, tls: tls, until: deadline)
        } catch {
            throw RedisError(error, address: name, limits: limits)
        }
        guard let reader = shim_reader_create() else { throw .connect(address: name, cause: "out of memory") }
        self.reader = reader
        self.name = name
        self.limits = limits
    }

    deinit {
        shim_reader_free(reader)
    }

    /// Authenticates and selects the database.
    func logIn(user: String?, password: String?, database: Int, until deadline: Deadline) throws(RedisError) {
        var commands: [RedisCommand] = []
        if let password {
            commands.append(user.map { RedisCommand("AUTH", $0, password) } ?? RedisCommand("AUTH", password))
        }
        // Access lists need not allow what is not needed.
        if database != 0 { commands.append(RedisCommand("SELECT", database)) }
        // A name in CLIENT LIST, for whoever wonders who is connected. Refused by some access lists, which is fine.
        let replies = try pipeline(
            commands + [RedisCommand("CLIENT", "SETNAME", "celery-beat-exporter")],
            until: deadline
        )
        for (index, reply) in replies.enumerated() {
            guard let error = reply.error else { continue }
            // A server that does not know AUTH quotes its arguments.
            let message = String(error[..<(error.firstRange(of: ", with args")?.lowerBound ?? error.endIndex)])
            let isSetName = index == replies.count - 1
            if isSetName, message.hasPrefix("NOPERM") || message.hasPrefix("ERR unknown") { continue }
            // A server that takes no more clients answers the first command so, whatever it is.
            if message.hasPrefix("ERR max number of clients") { throw .server(address: name, message: message) }
            if isSetName, !message.hasPrefix("NOAUTH") { throw .server(address: name, message: message) }
            throw .authentication(address: name, cause: message)
        }
    }

    /// Sends all commands in one go and returns their replies in order: one round trip.
    func pipeline(_ commands: [RedisCommand], until deadline: Deadline) throws(RedisError) -> [RedisValue] {
        var request: [UInt8] = []
        for command in commands { try append(command, to: &request) }
        do throws(StreamError) {
            try request.withUnsafeBufferPointer { bytes throws(StreamError) in
                try stream.write(UnsafeRawBufferPointer(bytes), until: deadline)
            }
        } catch {
            throw redisError(error)
        }
        var replies: [RedisValue] = []
        replies.reserveCapacity(commands.count)
        var received = 0
        while replies.count < commands.count {
            if let reply = try nextReply() {
                replies.append(reply)
                continue
            }
            received += try readMore(until: deadline)
            guard received <= limits.replyBytes else {
                throw .replyTooLarge(address: name, limit: limits.replyBytes)
            }
        }
        return replies
    }

    private func append(_ command: RedisCommand, to request: inout [UInt8]) throws(RedisError) {
        let lengths = command.arguments.map(\.count)
        let flat = command.arguments.flatMap { $0 }
        var text: UnsafeMutablePointer<CChar>?
        let length = flat.withUnsafeBufferPointer { bytes in
            var pointers: [UnsafePointer<CChar>?] = []
            var offset = 0
            let base = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
            for length in lengths {
                pointers.append(base.map { $0 + offset })
                offset += length
            }
            return redisFormatCommandArgv(&text, CInt(lengths.count), &pointers, lengths)
        }
        guard length >= 0, let text else { throw .connectionLost(address: name, cause: "out of memory") }
        defer { redisFreeCommand(text) }
        request += UnsafeRawBufferPointer(start: text, count: Int(length))
    }

    /// The next reply, if all of it has been read.
    private func nextReply() throws(RedisError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &reply) == REDIS_OK else { throw protocolError() }
        guard let reply else { return nil }
        defer { freeReplyObject(reply) }
        return RedisValue(copying: reply.assumingMemoryBound(to: redisReply.self))
    }

    /// Waits for bytes and hands them to the reader; returns how many came.
    private func readMore(until deadline: Deadline) throws(RedisError) -> Int {
        var failure: StreamError?
        let count = withUnsafeTemporaryAllocation(byteCount: Self.chunkBytes, alignment: 16) { buffer in
            do throws(StreamError) {
                let count = try stream.read(into: buffer, until: deadline)
                let start = UnsafeRawPointer(buffer.baseAddress)?.assumingMemoryBound(to: CChar.self)
                redisReaderFeed(reader, start, count)
                return count
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw redisError(failure) }
        return count
    }

    /// Bytes that are read at once.
    private static let chunkBytes = 16 << 10

    private func redisError(_ error: StreamError) -> RedisError {
        RedisError(error, address: name, limits: limits)
    }

    private func protocolError() -> RedisError {
        let words = withUnsafePointer(to: &reader.pointee.errstr) { tuple in
            tuple.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: reader.pointee.errstr)) {
                String(cString: $0)
            }
        }
        return .connectionLost(address: name, cause: words)
    }
}

extension RedisError {
    init(_ error: StreamError, address: String, limits: RedisLimits) {
        switch error {
        case .connect(let cause): self = .connect(address: address, cause: cause)
        case .tls(let cause): self = .tls(address: address, cause: cause)
        case .timeout: self = .timeout(address: address, after: limits.timeout)
        case .lost(let cause): self = .connectionLost(address: address, cause: cause)
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
