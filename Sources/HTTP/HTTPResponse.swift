internal import CMicroHTTPD

/// A complete response. Its bytes are copied once, when it is made; it can then be sent any number of times, from any
/// thread, without being copied or encoded again.
package final class HTTPResponse: Sendable {
    package let status: UInt32
    // Written only here and in deinit; libmicrohttpd counts its references under a lock of its own.
    nonisolated(unsafe) let response: OpaquePointer

    /// - Parameter headers: names and values from our own code: a line break in one is a bug and traps.
    package init(
        status: UInt32 = 200,
        contentType: String,
        body: [UInt8],
        headers: [(name: String, value: String)] = []
    ) {
        var body = body
        guard let response = MHD_create_response_from_buffer(body.count, &body, .RESPMEM_MUST_COPY) else {
            preconditionFailure("libmicrohttpd has no memory for a response of \(body.count) bytes")
        }
        for (name, value) in [("Content-Type", contentType)] + headers {
            guard MHD_add_response_header(response, name, value) == .YES else {
                preconditionFailure("\(name) is no valid header")
            }
        }
        self.status = status
        self.response = response
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

    deinit {
        MHD_destroy_response(response)
    }
}
