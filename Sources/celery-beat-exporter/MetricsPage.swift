internal import Collection
internal import Compression
internal import Exposition
internal import HTTP
internal import Synchronization

/// A snapshot as it is served: encoded once for each change and representation, however often it is asked for.
final class MetricsPage: Sendable {
    private struct Encoded {
        var generation: Int
        var responses: [Representation: HTTPResponse] = [:]
    }

    private let snapshot: Snapshot
    private let encoded = Mutex(Encoded(generation: -1))

    init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
    }

    func response(in representation: Representation) -> HTTPResponse {
        encoded.withLock { encoded in
            if encoded.generation == snapshot.generation, let response = encoded.responses[representation] {
                return response
            }
            let (families, _, generation) = snapshot.gather()
            if encoded.generation != generation { encoded = Encoded(generation: generation) }
            let response = Self.response(families, in: representation)
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
