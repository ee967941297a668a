internal import HTTP

/// One thing that is served: by which methods, under which paths, and how it is answered.
struct Route: Sendable {
    /// What a path holds where its pattern has a name in braces: percent-encoded, as it was sent.
    typealias Parameters = [String: String]

    let methods: Set<HTTPRequest.Method>
    private let pattern: String
    /// Its parts, where one of them stands for anything.
    private let parts: [Substring]?
    let answer: @Sendable (HTTPRequest, Parameters) -> HTTPAnswer

    /// - Parameter pattern: a path, in which a part such as `{id}` stands for anything that is not empty.
    private init(
        _ methods: Set<HTTPRequest.Method>,
        _ pattern: String,
        _ answer: @escaping @Sendable (HTTPRequest, Parameters) -> HTTPAnswer
    ) {
        self.methods = methods
        self.pattern = pattern
        parts = pattern.contains("{") ? Self.parts(of: pattern) : nil
        self.answer = answer
    }

    /// Answered at once, to GET and HEAD.
    static func get(
        _ pattern: String,
        _ response: @escaping @Sendable (HTTPRequest, Parameters) -> HTTPResponse
    ) -> Route {
        Route([.get, .head], pattern) { .now(response($0, $1)) }
    }

    static func post(
        _ pattern: String,
        _ answer: @escaping @Sendable (HTTPRequest) -> HTTPAnswer
    ) -> Route {
        Route([.post], pattern) { request, _ in answer(request) }
    }

    /// The parameters of a path that matches; nil for every other.
    func parameters(of path: String) -> Parameters? {
        guard let expected = parts else { return path == pattern ? [:] : nil }
        let found = Self.parts(of: path)
        guard found.count == expected.count else { return nil }
        var parameters: Parameters = [:]
        for (part, expected) in zip(found, expected) {
            if expected.hasPrefix("{"), expected.hasSuffix("}") {
                guard !part.isEmpty else { return nil }
                parameters[String(expected.dropFirst().dropLast())] = String(part)
            } else if part != expected {
                return nil
            }
        }
        return parameters
    }

    /// As `Allow` has it.
    var allowedMethods: String { methods.map(\.rawValue).sorted().joined(separator: ", ") }

    private static func parts(of path: String) -> [Substring] {
        path.split(separator: "/", omittingEmptySubsequences: false)
    }
}
