/// What a route sees of a request. Methods other than GET and HEAD never reach a route.
package struct HTTPRequest: Sendable {
    /// The path as sent, without the query and not decoded: match it exactly.
    package let path: String
}
