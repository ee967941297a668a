internal import CMicroHTTPD

/// What a route sees of a request. It is good only while the route is asked.
package struct HTTPRequest {
    /// Other methods never reach a route.
    package enum Method: String {
        case get = "GET"
        case head = "HEAD"
        case post = "POST"
    }

    package let method: Method
    /// The path as sent, without the query and not decoded: match it exactly.
    package let path: String
    let connection: OpaquePointer?

    /// The value of a header, the first where there are several; nil where there is none.
    package func header(_ name: String) -> String? {
        value(name, .HEADER_KIND)
    }

    /// The value of a parameter of the query, as sent and not decoded; nil where there is none.
    package func parameter(_ name: String) -> String? {
        value(name, .GET_ARGUMENT_KIND)
    }

    private func value(_ name: String, _ kind: MHD_ValueKind) -> String? {
        MHD_lookup_connection_value(connection, kind, name).map { String(cString: $0) }
    }
}
