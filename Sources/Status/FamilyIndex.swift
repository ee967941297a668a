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

    /// Values by one label, of samples that have these others. The first of several with the same label wins.
    func values(_ family: String, by label: String, _ labels: Label...) -> [String: Double] {
        var values: [String: Double] = [:]
        for sample in samples(family) where labels.allSatisfy(sample.labels.contains) {
            guard let key = sample[label], values[key] == nil else { continue }
            values[key] = sample.value
        }
        return values
    }
}

extension Sample {
    /// The value of a label. Foreign names can be longer than anybody reads.
    subscript(label: String) -> String? { labels.first { $0.name == label }?.value.bounded(300) }
}

extension String {
    /// Cut after so many characters; then it ends with an ellipsis.
    func bounded(_ maximum: Int) -> String {
        // A text has no more characters than bytes, so short ones need not be counted.
        guard utf8.count > maximum, unicodeScalars.count > maximum else { return self }
        return String(unicodeScalars.prefix(maximum)) + "…"
    }
}
