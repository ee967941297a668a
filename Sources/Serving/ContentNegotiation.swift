internal import Compression
internal import Exposition
internal import HTTP

/// In which form a client gets the metrics.
struct Representation: Hashable {
    let format: ExpositionFormat
    let isCompressed: Bool

    /// - Parameters: the headers Accept and Accept-Encoding; nil where they are missing.
    init(accept: String?, acceptEncoding: String?) {
        format = ExpositionFormat(accept: accept)
        isCompressed = Gzip.isAccepted(by: acceptEncoding)
    }
}

extension Gzip {
    /// Whether a header Accept-Encoding takes it.
    static func isAccepted(by header: String?) -> Bool {
        HeaderElement.elements(of: header).contains { $0.value == "gzip" && $0.quality > 0 }
    }
}

extension ExpositionFormat {
    /// The format that an Accept header prefers; text where it names neither, or there is none.
    ///
    /// An OpenMetrics without a version, or of another 1.x, is content with 1.0.0. Of equal qualities the one that is named
    /// in full wins over `*/*`, and OpenMetrics over text, which is what scrapers that name both prefer.
    init(accept: String?) {
        var text = 0.0
        var openMetrics = 0.0
        var anything = 0.0
        for range in HeaderElement.elements(of: accept) where range.quality > 0 {
            let version = range.parameters["version"]
            switch range.value {
            case "application/openmetrics-text":
                if version == nil || version?.hasPrefix("1.") == true { openMetrics = max(openMetrics, range.quality) }
            case "text/plain":
                if version == nil || version == "0.0.4" { text = max(text, range.quality) }
            case "text/*", "*/*": anything = max(anything, range.quality)
            default: break
            }
        }
        self = openMetrics > 0 && openMetrics >= max(text, anything) ? .openMetrics : .text
    }
}
