internal import Exposition

/// What families say, by name.
struct MetricValues {
    private let samples: [String: [Sample]]

    init(_ families: [MetricFamily]) {
        samples = Dictionary(families.map { ($0.name, $0.samples) }, uniquingKeysWith: +)
    }

    /// The value of a family with one sample; nil while it is absent.
    subscript(name: String) -> Double? { samples[name]?.first?.value }

    /// Values by a label, in their order.
    func values(_ name: String, by label: String) -> [(label: String, value: Double)] {
        (samples[name] ?? []).map { sample in
            (sample.labels.first { $0.name == label }?.value ?? "", sample.value)
        }
    }

    func labels(_ name: String, _ label: String) -> Set<String> {
        Set(values(name, by: label).map(\.label))
    }
}
