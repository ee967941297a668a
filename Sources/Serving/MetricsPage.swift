internal import Collection
internal import Compression
internal import Exposition
internal import HTTP
internal import Metrics
internal import Synchronization

/// A snapshot as it is served: encoded once for each change and representation, however often it is asked for.
final class MetricsPage: Sendable {
    private struct Encoded {
        var generation: Int
        /// Series left out of all before it, and with it.
        var droppedBefore = 0
        var droppedSeries = 0
        var responses: [Representation: HTTPResponse] = [:]
    }

    private let snapshot: CurrentSnapshot
    private let settings: MetricSettings
    private let encoded = Mutex(Encoded(generation: -1))

    init(_ snapshot: CurrentSnapshot, _ settings: MetricSettings) {
        self.snapshot = snapshot
        self.settings = settings
    }

    func response(to request: HTTPRequest) -> HTTPResponse {
        response(
            in: Representation(
                accept: request.header("Accept"),
                acceptEncoding: request.header("Accept-Encoding")
            )
        )
    }

    private func response(in representation: Representation) -> HTTPResponse {
        encoded.withLock { encoded in
            if encoded.generation == snapshot.generation, let response = encoded.responses[representation] {
                return response
            }
            let snapshot = snapshot.value
            if encoded.generation != snapshot.generation {
                encoded = Encoded(generation: snapshot.generation, droppedBefore: encoded.droppedSeries)
            }
            // They are made again for each representation, of which most have one: they take more memory than its bytes.
            let families = SnapshotFamilies(snapshot, settings, droppedBefore: encoded.droppedBefore)
            encoded.droppedSeries = families.droppedSeries
            let response = Self.response(families.families, in: representation)
            encoded.responses[representation] = response
            return response
        }
    }

    private static func response(_ families: [MetricFamily], in representation: Representation) -> HTTPResponse {
        let bytes = representation.format.encode(families)
        let vary = (name: "Vary", value: "Accept, Accept-Encoding")
        return HTTPResponse(
            contentType: representation.format.contentType,
            body: representation.isCompressed ? Gzip.compress(bytes) : bytes,
            headers: representation.isCompressed ? [vary, ("Content-Encoding", "gzip")] : [vary]
        )
    }
}
