/// Something that reads foreign data, and what must be true of it whatever it reads.
struct FuzzTarget: Sendable, CustomStringConvertible {
    let name: String
    /// Good inputs, from which hostile ones are made.
    let corpus: [[UInt8]]
    /// Reads an input and says what is wrong about the outcome; nil where all is well. It must neither trap nor hang.
    let problem: @Sendable ([UInt8]) -> String?

    init(_ name: String, _ corpus: [String], problem: @escaping @Sendable ([UInt8]) -> String?) {
        self.init(name, bytes: corpus.map { Array($0.utf8) }, problem: problem)
    }

    init(_ name: String, bytes corpus: [[UInt8]], problem: @escaping @Sendable ([UInt8]) -> String?) {
        self.name = name
        self.corpus = corpus
        self.problem = problem
    }

    var description: String { name }
}

/// The parts of an input that stands for several: `separator` is between them.
func parts(_ bytes: [UInt8], _ count: Int) -> [[UInt8]] {
    var parts = bytes.split(separator: 0x1e, maxSplits: count - 1, omittingEmptySubsequences: false).map { Array($0) }
    while parts.count < count { parts.append([]) }
    return parts
}

/// Between the parts of an input that stands for several.
let separator = "\u{1e}"

/// The same as texts.
func texts(_ bytes: [UInt8], _ count: Int) -> [String] {
    parts(bytes, count).map { String(decoding: $0, as: UTF8.self) }
}

/// Whether a text is one line that does no harm to a terminal.
func isPlainLine(_ text: some StringProtocol) -> Bool {
    text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }
}
