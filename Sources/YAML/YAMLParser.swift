internal import CYAML

extension YAMLNode {
    /// Bytes of a document.
    package static let maximumBytes = 1 << 20

    /// Reads a document; nil where it is empty.
    ///
    /// Of YAML it takes what configuration files need. Aliases are refused, as they can make a small file a huge one;
    /// so are several documents in one file, keys that come twice, and tags.
    package static func parse(_ bytes: [UInt8]) throws(YAMLError) -> YAMLNode? {
        guard bytes.count <= maximumBytes else {
            throw YAMLError(line: 1, problem: "the file has more than \(maximumBytes) bytes")
        }
        let events = try YAMLEvents(bytes)
        var parser = YAMLParser(events: events.all[...])
        return try parser.document()
    }
}

/// One step of a document.
private struct YAMLEvent {
    enum Kind: Equatable {
        case documentStart
        case scalar(String, isQuoted: Bool)
        case sequenceStart
        case mappingStart
        case end
    }

    let kind: Kind
    let line: Int
}

/// All steps of a document, copied out of libyaml.
private struct YAMLEvents {
    private(set) var all: [YAMLEvent] = []

    private static let maximumEvents = 100_000
    private static let maximumDepth = 16
    /// Lists and mappings that are open. What lies deeper is refused as it comes, since libyaml would take ever longer for it.
    private var depth = 0

    init(_ bytes: [UInt8]) throws(YAMLError) {
        var parser = yaml_parser_t()
        guard yaml_parser_initialize(&parser) == 1 else { throw YAMLError(line: 1, problem: "no memory to read it") }
        defer { yaml_parser_delete(&parser) }
        var failure: YAMLError?
        bytes.withUnsafeBufferPointer { buffer in
            yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
            do throws(YAMLError) { try readAll(&parser) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private mutating func readAll(_ parser: inout yaml_parser_t) throws(YAMLError) {
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(&parser, &event) == 1 else {
                throw YAMLError(line: Int(parser.problem_mark.line) + 1, problem: Self.problem(of: parser))
            }
            defer { yaml_event_delete(&event) }
            if event.type == YAML_STREAM_END_EVENT { return }
            guard all.count < Self.maximumEvents else {
                throw YAMLError(line: Int(event.start_mark.line) + 1, problem: "the file has too many values")
            }
            try append(event)
        }
    }

    private static func problem(of parser: yaml_parser_t) -> String {
        let context = parser.context.map { String(cString: $0) }
        let problem = parser.problem.map { String(cString: $0) } ?? "this is no YAML"
        guard let context else { return problem }
        return context.contains("alias") ? "a value that begins with * needs quotes" : "\(context): \(problem)"
    }

    private mutating func append(_ event: yaml_event_t) throws(YAMLError) {
        let line = Int(event.start_mark.line) + 1
        func add(_ kind: YAMLEvent.Kind) { all.append(YAMLEvent(kind: kind, line: line)) }
        if hasTag(event) { throw YAMLError(line: line, problem: "tags (!name) are not supported") }
        switch event.type {
        case YAML_DOCUMENT_START_EVENT: add(.documentStart)
        case YAML_SEQUENCE_START_EVENT, YAML_MAPPING_START_EVENT:
            depth += 1
            guard depth <= Self.maximumDepth else {
                throw YAMLError(line: line, problem: "values are nested too deeply")
            }
            add(event.type == YAML_SEQUENCE_START_EVENT ? .sequenceStart : .mappingStart)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
            depth -= 1
            add(.end)
        case YAML_SCALAR_EVENT:
            let text = UnsafeBufferPointer(start: event.data.scalar.value, count: event.data.scalar.length)
            let isPlain = event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE
            add(.scalar(String(decoding: text, as: UTF8.self), isQuoted: !isPlain))
        case YAML_ALIAS_EVENT:
            throw YAMLError(line: line, problem: "aliases (*name) are not supported; write the value out")
        default: break
        }
    }
}

/// Whether a value is written with what it is to be taken for.
private func hasTag(_ event: yaml_event_t) -> Bool {
    switch event.type {
    case YAML_SCALAR_EVENT: event.data.scalar.tag != nil
    case YAML_SEQUENCE_START_EVENT: event.data.sequence_start.tag != nil
    case YAML_MAPPING_START_EVENT: event.data.mapping_start.tag != nil
    default: false
    }
}

/// Builds nodes from steps.
private struct YAMLParser {
    var events: ArraySlice<YAMLEvent>

    mutating func document() throws(YAMLError) -> YAMLNode? {
        guard next()?.kind == .documentStart else { return nil }
        let node = try node()
        if let other = next() {
            throw YAMLError(line: other.line, problem: "a second document begins; give one file one document")
        }
        return node
    }

    private mutating func next() -> YAMLEvent? {
        events.popFirst()
    }

    private mutating func node() throws(YAMLError) -> YAMLNode {
        guard let event = next() else { throw YAMLError(line: 1, problem: "the file ends within a value") }
        switch event.kind {
        case .scalar(let text, let isQuoted):
            return YAMLNode(.scalar(text), line: event.line, isQuoted: isQuoted)
        case .sequenceStart:
            var nodes: [YAMLNode] = []
            while events.first?.kind != .end { nodes.append(try node()) }
            _ = next()
            return YAMLNode(.sequence(nodes), line: event.line)
        case .mappingStart:
            var pairs: [YAMLNode.Pair] = []
            var lines: [String: Int] = [:]
            while events.first?.kind != .end {
                let key = try node()
                guard let name = key.scalar else { throw YAMLError(line: key.line, problem: "a key must be a name") }
                if let before = lines.updateValue(key.line, forKey: name) {
                    throw YAMLError(line: key.line, problem: "the same key stands in line \(before)")
                }
                let value = try node()
                pairs.append(YAMLNode.Pair(key: name, line: key.line, value: value))
            }
            _ = next()
            return YAMLNode(.mapping(pairs), line: event.line)
        case .documentStart, .end:
            throw YAMLError(line: event.line, problem: "a value is missing")
        }
    }
}
