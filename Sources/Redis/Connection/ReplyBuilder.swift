internal import CHiredis

/// Makes values of what hiredis reads, within bounds: what is beyond them is read to its end, and left out of the value.
final class ReplyBuilder {
    private struct List {
        var values: [RedisValue] = []
        /// Elements that are still to come.
        var missing: Int
        var isOmitted: Bool
    }

    /// Those that have begun, the innermost last.
    private var lists: [List] = []
    private var reply: RedisValue?
    /// What may still be kept of the pipeline.
    private var remainingBytes = 0
    private var remainingElements = 0
    /// Of the reply that is read now, beside that.
    private var expectedBytes = 0

    /// Lists within lists, and within those.
    private static let maximumDepth = 8
    /// No string takes more than this part of the bytes that are left, so that a few long ones leave room for all others.
    private static let longestShare = 64
    /// Of an error's text.
    private static let maximumErrorBytes = 1000

    /// The replies to another pipeline follow.
    func begin(_ limits: RedisLimits) {
        (remainingBytes, remainingElements) = (limits.replyBytes, limits.replyElements)
        lists = []
        reply = nil
    }

    /// The reply to a command follows, which may have so many bytes although others may not.
    func expect(bytes: Int) { expectedBytes = bytes }

    /// Whether a string of so many bytes would be kept now.
    func keeps(_ length: Int) -> Bool {
        lists.last?.isOmitted != true
            && (length <= expectedBytes || length <= remainingBytes / Self.longestShare)
    }

    /// The reply that has just been read.
    func take() -> RedisValue? { reply.take() }

    private func add(_ value: RedisValue) {
        var value = value
        while let last = lists.indices.last {
            if !lists[last].isOmitted { lists[last].values.append(value) }
            lists[last].missing -= 1
            guard lists[last].missing == 0 else { return }
            let list = lists.removeLast()
            value = list.isOmitted ? .omitted : .array(list.values)
        }
        reply = value
    }

    // MARK: What hiredis tells

    private func add(string bytes: UnsafeRawBufferPointer, isError: Bool) {
        if isError {
            let text = String(decoding: bytes.prefix(Self.maximumErrorBytes), as: UTF8.self)
            add(bytes.elementsEqual(LongStringFilter.mark) ? .omitted : .error(text))
            return
        }
        guard keeps(bytes.count) else {
            add(.omitted)
            return
        }
        if bytes.count <= expectedBytes { expectedBytes -= bytes.count } else { remainingBytes -= bytes.count }
        add(.string(Array(bytes)))
    }

    /// - Returns: false where it is nested too deeply.
    private func beginList(of count: Int) -> Bool {
        guard count > 0 else {
            add(.array([]))
            return true
        }
        guard lists.count < Self.maximumDepth else { return false }
        var list = List(missing: count, isOmitted: lists.last?.isOmitted ?? false || count > remainingElements)
        if !list.isOmitted {
            remainingElements -= count
            list.values.reserveCapacity(count)
        }
        lists.append(list)
        return true
    }

    /// For a reader that does not outlive the builder.
    var listener: shim_listener {
        func builder(_ context: UnsafeMutableRawPointer?) -> ReplyBuilder? {
            context.map { Unmanaged<ReplyBuilder>.fromOpaque($0).takeUnretainedValue() }
        }
        return shim_listener(
            context: Unmanaged.passUnretained(self).toOpaque(),
            string: { context, bytes, length, isError in
                builder(context)?.add(
                    string: UnsafeRawBufferPointer(start: bytes, count: length),
                    isError: isError != 0
                )
                return 1
            },
            integer: { context, value in
                builder(context)?.add(.integer(value))
                return 1
            },
            null: { context in
                builder(context)?.add(.null)
                return 1
            },
            list: { context, count in builder(context)?.beginList(of: Int(count)) == true ? 1 : 0 }
        )
    }
}
