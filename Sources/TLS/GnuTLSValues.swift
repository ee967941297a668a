internal import CGnuTLS

extension [UInt8] {
    /// As GnuTLS takes bytes that it only reads.
    func withDatum<Result>(_ body: (UnsafePointer<gnutls_datum_t>) -> Result) -> Result {
        withUnsafeBufferPointer { buffer in
            var datum = gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: buffer.baseAddress),
                size: UInt32(buffer.count)
            )
            return body(&datum)
        }
    }
}

extension gnutls_typed_vdata_st {
    /// - Parameters:
    ///   - text: it must outlive this.
    ///   - size: of the text; 0 where it has a zero at its end.
    init(type: gnutls_vdata_types_t, text: UnsafeBufferPointer<CChar>, size: Int = 0) {
        self.init(
            type: type,
            data: UnsafeMutableRawPointer(mutating: text.baseAddress)?.assumingMemoryBound(to: UInt8.self),
            size: UInt32(size)
        )
    }
}

/// What a status of GnuTLS says.
func text(_ status: CInt) -> String { String(cString: gnutls_strerror(status)) }
