/// A JSON value as Python's `json` writes and reads it.
package enum JSONValue: Equatable, Sendable {
    case null
    case boolean(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package subscript(key: String) -> JSONValue? {
        if case .object(let members) = self { return members[key] }
        return nil
    }

    package var string: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    package var number: Double? {
        if case .number(let value) = self { return value }
        return nil
    }

    /// A number without a fraction that fits.
    package var integer: Int? {
        number.flatMap { Int(exactly: $0) }
    }

    package var boolean: Bool? {
        if case .boolean(let value) = self { return value }
        return nil
    }

    /// Whether Python takes it for true.
    package var isTrue: Bool {
        switch self {
        case .null: false
        case .boolean(let value): value
        case .number(let value): value != 0
        case .string(let value): !value.isEmpty
        case .array(let values): !values.isEmpty
        case .object(let members): !members.isEmpty
        }
    }

    package var isObject: Bool {
        if case .object = self { return true }
        return false
    }
}
