/// One node of a YAML document, with where it stands.
package struct YAMLNode: Equatable, Sendable {
    package enum Content: Equatable, Sendable {
        /// A single value as it is written, without quotes. What it means is its reader's to decide.
        case scalar(String)
        case sequence([YAMLNode])
        /// In the order of the document; keys are unique.
        case mapping([Pair])
    }

    package struct Pair: Equatable, Sendable {
        package let key: String
        /// The line of the key.
        package let line: Int
        package let value: YAMLNode
    }

    package let content: Content
    /// Counted from 1.
    package let line: Int
    /// Whether a single value is written in quotes or as a block, and so is text whatever it looks like.
    package let isQuoted: Bool

    package init(_ content: Content, line: Int, isQuoted: Bool = false) {
        self.content = content
        self.line = line
        self.isQuoted = isQuoted
    }

    package var scalar: String? {
        if case .scalar(let text) = content { return text }
        return nil
    }

    package var sequence: [YAMLNode]? {
        if case .sequence(let nodes) = content { return nodes }
        return nil
    }

    package var mapping: [Pair]? {
        if case .mapping(let pairs) = content { return pairs }
        return nil
    }

    /// Whether nothing, `~` or `null` is written there.
    package var isNull: Bool {
        ["", "~", "null"].contains(scalar)
    }
}

/// What is wrong with a document, in words that quote none of its values: they may be secret.
package struct YAMLError: Error, Equatable {
    /// Counted from 1.
    package let line: Int
    package let problem: String
}
