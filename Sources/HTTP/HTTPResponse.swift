internal import CMicroHTTPD
internal import Synchronization

/// How a request is answered.
package enum HTTPAnswer: Sendable {
    case now(HTTPResponse)
    /// By work that may block, on a thread of its own: only this request waits for it.
    case later(@Sendable () -> HTTPResponse)
}

/// A complete response. Its bytes are copied once, when it is made; it can then be sent any number of times, from any
/// thread, without being copied or encoded again.
package final class HTTPResponse: Sendable {
    package let status: UInt32
    private let body: ResponseBody
    private let headers: [(name: String, value: String)]
    private let plain: PreparedResponse
    /// The same with the headers that a web configuration adds.
    private let extended = Mutex<(headers: ResponseHeaders, response: PreparedResponse)?>(nil)

    /// - Parameter headers: names and values from our own code: a line break in one is a bug and traps.
    package init(
        status: UInt32 = 200,
        contentType: String,
        body: [UInt8],
        headers: [(name: String, value: String)] = []
    ) {
        self.status = status
        self.body = ResponseBody(body)
        self.headers = [("Content-Type", contentType)] + headers
        plain = PreparedResponse(self.body, headers: self.headers)
    }

    /// A short text for people and probes.
    package convenience init(status: UInt32, text: String, headers: [(name: String, value: String)] = []) {
        self.init(
            status: status,
            contentType: "text/plain; charset=utf-8",
            body: Array((text + "\n").utf8),
            headers: headers
        )
    }

    /// What a path says to a method it does not know.
    package static func methodNotAllowed(allowed methods: String) -> HTTPResponse {
        HTTPResponse(status: 405, text: "Allowed here: \(methods).", headers: [("Allow", methods)])
    }

    var byteCount: Int { body.bytes.count }

    /// Hands it to libmicrohttpd, with more headers if there are any.
    func queue(on connection: OpaquePointer, adding more: ResponseHeaders?) -> MHD_Result {
        let response = more.map { extended(by: $0) } ?? plain
        return MHD_queue_response(connection, status, response.pointer)
    }

    private func extended(by more: ResponseHeaders) -> PreparedResponse {
        extended.withLock { extended in
            if let extended, extended.headers === more { return extended.response }
            let response = PreparedResponse(body, headers: headers + more.all)
            extended = (more, response)
            return response
        }
    }
}

/// Headers that a web configuration adds to every response, checked by `init`.
package final class ResponseHeaders: Sendable {
    let all: [(name: String, value: String)]

    /// - Returns: nil if a value is empty or holds a control character: it could not be sent, or would begin another header.
    package init?(_ headers: [(name: String, value: String)]) {
        for (_, value) in headers {
            guard !value.isEmpty, value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { return nil }
        }
        all = headers
    }
}

/// The bytes of a body.
private final class ResponseBody: Sendable {
    // Written only here and in deinit.
    nonisolated(unsafe) let bytes: UnsafeMutableRawBufferPointer

    init(_ bytes: [UInt8]) {
        self.bytes = .allocate(byteCount: bytes.count, alignment: 1)
        self.bytes.copyBytes(from: bytes)
    }

    deinit {
        bytes.deallocate()
    }
}

/// A body with its headers, as libmicrohttpd sends it.
private final class PreparedResponse: Sendable {
    // Written only here and in deinit; libmicrohttpd counts its references under a lock of its own.
    nonisolated(unsafe) let pointer: OpaquePointer

    init(_ body: ResponseBody, headers: [(name: String, value: String)]) {
        let owner = Unmanaged.passRetained(body)
        guard
            let pointer = MHD_create_response_from_buffer_with_free_callback_cls(
                body.bytes.count,
                body.bytes.baseAddress,
                { owner in
                    guard let owner else { return }
                    Unmanaged<ResponseBody>.fromOpaque(owner).release()
                },
                owner.toOpaque()
            )
        else { preconditionFailure("libmicrohttpd has no memory for a response") }
        for (name, value) in headers {
            guard MHD_add_response_header(pointer, name, value) == .YES else {
                preconditionFailure("\(name) is no valid header")
            }
        }
        self.pointer = pointer
    }

    deinit {
        MHD_destroy_response(pointer)
    }
}
