internal import Exposition

/// Finds samples by the name of their family.
struct FamilyIndex {
    private let samples: [String: [Sample]]

    init(_ families: [MetricFamily]) {
        samples = Dictionary(families.map { ($0.name, $0.samples) }, uniquingKeysWith: +)
    }

    /// Whether there is such a family, be it without samples.
    func contains(_ family: String) -> Bool { samples[family] != nil }

    func samples(_ family: String) -> [Sample] { samples[family] ?? [] }

    /// The value of the first sample that has these labels, and maybe others.
    func value(_ family: String, _ labels: Label...) -> Double? {
        samples(family).first { sample in labels.allSatisfy(sample.labels.contains) }?.value
    }

    /// The same as a whole number.
    func count(_ family: String, _ labels: Label...) -> Int? {
        samples(family).first { sample in labels.allSatisfy(sample.labels.contains) }.flatMap { Int(exactly: $0.value) }
    }

    /// Values by all the labels of their samples, which no two of a family share. What has the same in several families is
    /// one thing: a name alone may be that of two, as of entries with one name and two tasks.
    func values(_ family: String) -> [[Label]: Double] {
        Dictionary(samples(family).map { ($0.labels, $0.value) }) { first, _ in first }
    }
}

extension Sample {
    /// Characters of a name that are shown.
    static let maximumText = 300

    /// The value of a label, for people. Foreign names can be longer than anybody reads: cut, two may be the same.
    subscript(label: String) -> String? { whole(label)?.bounded(Self.maximumText) }

    /// The value of a label as it is.
    func whole(_ label: String) -> String? { labels.first { $0.name == label }?.value }
}

extension String {
    /// Cut after so many characters; then it ends with an ellipsis.
    func bounded(_ maximum: Int) -> String {
        // A text has no more characters than bytes, so short ones need not be counted.
        guard utf8.count > maximum, unicodeScalars.count > maximum else { return self }
        return String(unicodeScalars.prefix(maximum)) + "…"
    }
}
