extension String {
    /// As much of its beginning as fits into so many bytes of UTF-8, up to where a Unicode scalar ends: one character may
    /// have thousands of combining marks.
    package func beginning(bytes maximum: Int) -> Substring {
        let bytes = utf8
        guard bytes.count > maximum else { return self[...] }
        var end = bytes.index(bytes.startIndex, offsetBy: maximum)
        while bytes[end] & 0xc0 == 0x80 { bytes.formIndex(before: &end) }
        return self[..<end]
    }
}
