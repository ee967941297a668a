internal import CZlib

/// Compresses as `Content-Encoding: gzip` wants it (RFC 1952).
package enum Gzip {
    /// The whole in one piece.
    package static func compress(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        // Level 1: an exposition repeats itself so much that more effort gains little.
        guard shim_deflate_gzip(&stream, 1) == Z_OK else { preconditionFailure("zlib has no memory") }
        defer { deflateEnd(&stream) }
        let bound = Int(deflateBound(&stream, UInt(bytes.count)))
        return [UInt8](unsafeUninitializedCapacity: bound) { output, count in
            bytes.withUnsafeBufferPointer { input in
                stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(bound)
                // The bound leaves room for all of it, so one call ends it.
                guard deflate(&stream, Z_FINISH) == Z_STREAM_END else { preconditionFailure("zlib's bound was wrong") }
            }
            count = Int(stream.total_out)
        }
    }
}
