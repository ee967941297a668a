internal import System

/// All samples of one metric, with what describes them. The vocabulary is that of the Prometheus data model.
package struct MetricFamily: Equatable, Sendable {
    package let name: String
    package let help: String
    package let type: MetricType
    package var samples: [Sample]

    package init(_ name: String, help: String, type: MetricType, samples: [Sample] = []) {
        self.name = name
        self.help = help
        self.type = type
        self.samples = samples
    }

    /// A family with a single sample without labels of its own.
    package init(_ name: String, help: String, type: MetricType, value: Double, labels: [Label] = []) {
        self.init(name, help: help, type: type, samples: [Sample(value, labels: labels)])
    }

    /// The same family with these samples.
    package func with(_ samples: [Sample]) -> MetricFamily {
        var family = self
        family.samples = samples
        return family
    }

    /// The same family with one sample.
    package func with(_ value: Double, labels: [Label] = []) -> MetricFamily {
        with([Sample(value, labels: labels)])
    }
}

package enum MetricType: String, Equatable, Sendable {
    case counter
    case gauge
    case histogram
}

package struct Label: Equatable, Hashable, Sendable {
    package let name: String
    package let value: String

    /// Bytes of a value: names that others chose have no bound.
    package static let maximumBytes = 800

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = String(value.beginning(bytes: Self.maximumBytes))
    }
}

package struct Sample: Equatable, Sendable {
    /// What follows the family's name: empty but for the parts of a histogram (`_bucket`, `_sum`, `_count`).
    package let suffix: String
    package let labels: [Label]
    package let value: Double

    package init(_ value: Double, labels: [Label] = [], suffix: String = "") {
        self.value = value
        self.labels = labels
        self.suffix = suffix
    }
}

extension Sample {
    /// The samples of one histogram: cumulative buckets with `+Inf`, sum and count.
    ///
    /// - Parameters:
    ///   - bounds: upper bounds, ascending, without `+Inf`.
    ///   - counts: observations in each bucket, not cumulative, one more than `bounds`.
    package static func histogram(bounds: [Double], counts: [Double], sum: Double, labels: [Label]) -> [Sample] {
        precondition(counts.count == bounds.count + 1, "a histogram has one count more than bounds")
        var cumulative = 0.0
        var samples: [Sample] = []
        samples.reserveCapacity(counts.count + 2)
        for (index, count) in counts.enumerated() {
            cumulative += count
            let bound = index < bounds.count ? SampleValue.text(bounds[index]) : "+Inf"
            samples.append(Sample(cumulative, labels: labels + [Label("le", bound)], suffix: "_bucket"))
        }
        samples.append(Sample(sum, labels: labels, suffix: "_sum"))
        samples.append(Sample(cumulative, labels: labels, suffix: "_count"))
        return samples
    }
}
