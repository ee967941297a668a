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

    /// - Parameter target: without the query.
    init(method: Method, target: String, connection: OpaquePointer?) {
        self.method = method
        path = Self.path(of: target)
        self.connection = connection
    }

    /// What proxies are asked, `http://host/path`, servers must understand too. Source: RFC 9112, section 3.2.2.
    static func path(of target: String) -> String {
        guard let scheme = ["http://", "https://"].first(where: { target.lowercased().hasPrefix($0) }) else {
            return target
        }
        let rest = target.dropFirst(scheme.count)
        return rest.firstIndex(of: "/").map { String(rest[$0...]) } ?? "/"
    }

    /// The value of a header, the first where there are several; nil where there is none.
    package func header(_ name: String) -> String? {
        value(name, .HEADER_KIND)
    }

    /// The value of a parameter of the query, as sent and not decoded; nil where there is none, or more than one.
    package func parameter(_ name: String) -> String? {
        let values = parameters(name)
        return values.count == 1 ? values[0] : nil
    }

    /// All values of a parameter of the query, as sent and not decoded.
    package func parameters(_ name: String) -> [String] {
        var search = ParameterSearch(name: name)
        withUnsafeMutablePointer(to: &search) {
            _ = MHD_get_connection_values(connection, .GET_ARGUMENT_KIND, compare, $0)
        }
        return search.values
    }

    private func value(_ name: String, _ kind: MHD_ValueKind) -> String? {
        MHD_lookup_connection_value(connection, kind, name).map { String(cString: $0) }
    }
}

private struct ParameterSearch {
    let name: String
    var values: [String] = []
}

/// Keeps the value of one parameter if it has the name that is looked for. A free function, because C calls it.
private func compare(
    search: UnsafeMutableRawPointer?,
    kind: MHD_ValueKind,
    name: UnsafePointer<CChar>?,
    value: UnsafePointer<CChar>?
) -> MHD_Result {
    guard let search = search?.assumingMemoryBound(to: ParameterSearch.self), let name else { return .NO }
    if String(cString: name) == search.pointee.name {
        search.pointee.values.append(value.map { String(cString: $0) } ?? "")
    }
    return .YES
}
