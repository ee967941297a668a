internal import CHiredis
internal import System
internal import TLS

/// Bounds of every conversation with Redis.
package struct RedisLimits: Sendable {
    /// Time for a pipeline, from finding the server to the last reply.
    package var timeout: Duration
    /// Bytes that are kept of all replies to one pipeline of one server, beside those that commands expect. What is beyond
    /// is left out, string by string.
    package var replyBytes: Int
    /// Elements of all lists among these replies; a list that has more is left out.
    package var replyElements: Int
    /// Bytes that a server may send all in all, kept or left out. More than a Redis keeps under one key or name, 512 MB.
    package var receivedBytes: Int

    package init(
        timeout: Duration,
        replyBytes: Int = 8 << 20,
        replyElements: Int = 1 << 17,
        receivedBytes: Int = 1 << 30
    ) {
        self.timeout = timeout
        self.replyBytes = replyBytes
        self.replyElements = replyElements
        self.receivedBytes = receivedBytes
    }
}

/// One connection to one server. It blocks its thread, so it must never be used on Swift's cooperative pool.
///
/// Bytes are moved by `ByteStream`; hiredis writes commands and reads replies in its protocol. After a thrown error the
/// connection is unusable and must be dropped: replies could no longer be matched to commands.
final class RedisConnection {
    private let stream: ByteStream
    private let builder = ReplyBuilder()
    private let reader: UnsafeMutablePointer<redisReader>
    private var filter = LongStringFilter()
    /// The server, for errors.
    let name: String
    private let limits: RedisLimits

    /// - Parameter name: the server, for errors.
    init(
        to endpoint: RedisEndpoint,
        name: String,
        tls: TLSClientConfiguration?,
        limits: RedisLimits,
        until deadline: Deadline
    ) throws(RedisError) {
        do {
            stream = try ByteStream(to: endpoint, tls: tls, until: deadline)
        } catch {
            throw RedisError(error, address: name, limits: limits)
        }
        guard let reader = shim_reader_create(builder.listener) else {
            throw .connect(address: name, cause: "out of memory")
        }
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
            // A server that does not know AUTH quotes its arguments, and one that lies may quote them anyhow.
            let words = error[..<(error.firstRange(of: ", with args")?.lowerBound ?? error.endIndex)]
            let message = password.map { String(words.replacing($0, with: "…")) } ?? String(words)
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
        builder.begin(limits)
        builder.expect(bytes: commands.first?.expectedBytes ?? 0)
        var received = 0
        while true {
            try take(&replies, to: commands)
            guard replies.count < commands.count else { return replies }
            received += try readMore(&replies, to: commands, until: deadline)
            guard received <= limits.receivedBytes else {
                throw .replyTooLarge(address: name, limit: limits.receivedBytes)
            }
        }
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

    /// Adds the replies of which all has been read.
    private func take(_ replies: inout [RedisValue], to commands: [RedisCommand]) throws(RedisError) {
        while replies.count < commands.count {
            var object: UnsafeMutableRawPointer?
            guard redisReaderGetReply(reader, &object) == REDIS_OK else { throw protocolError() }
            guard object != nil, let reply = builder.take() else { return }
            replies.append(reply)
            if replies.count < commands.count { builder.expect(bytes: commands[replies.count].expectedBytes) }
        }
    }

    /// Waits for bytes and hands them to the reader; returns how many came.
    private func readMore(
        _ replies: inout [RedisValue],
        to commands: [RedisCommand],
        until deadline: Deadline
    ) throws(RedisError) -> Int {
        var outcome = Result<Int, RedisError>.success(0)
        withUnsafeTemporaryAllocation(byteCount: Self.chunkBytes, alignment: 16) { buffer in
            outcome = Result { () throws(RedisError) in
                let count: Int
                do throws(StreamError) {
                    count = try stream.read(into: buffer, until: deadline)
                } catch {
                    throw redisError(error)
                }
                try feed(UnsafeRawBufferPointer(rebasing: buffer[..<count]), &replies, to: commands)
                return count
            }
        }
        return try outcome.get()
    }

    private func feed(
        _ chunk: UnsafeRawBufferPointer,
        _ replies: inout [RedisValue],
        to commands: [RedisCommand]
    ) throws(RedisError) {
        let isRedis = try filter.filter(
            chunk,
            keeps: { (length) throws(RedisError) in
                guard length > Self.shortString else { return true }
                // To know what it belongs to.
                try take(&replies, to: commands)
                return builder.keeps(length)
            },
            pass: { bytes in
                redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
            }
        )
        guard isRedis else {
            throw .connectionLost(address: name, cause: "the answer is none of a Redis's: a line does not end")
        }
    }

    /// Bytes that are read at once.
    private static let chunkBytes = 16 << 10
    /// Shorter strings the reader may hold, whether they are kept or not.
    private static let shortString = 1 << 10

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
