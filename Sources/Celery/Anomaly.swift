/// Something in foreign data that is not as its writer would have left it. It spoils one value, never the collection.
package struct Anomaly: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        /// A key holds another type than it must.
        case wrongType
        /// A value cannot be decoded.
        case malformed
        /// More than is read: entries, queues, names, bytes.
        case overLimit
        /// Something beside the rest may not be done.
        case permission
    }

    package let kind: Kind
    /// One line for the log: what, and what to do.
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
