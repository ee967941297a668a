extension String {
    /// UTF-8 bytes that what others say may have on a page, in an error and in the log.
    package static let maximumForeignBytes = 1024

    /// Its beginning; where that is not all, it says so.
    package func cut(toBytes maximum: Int = maximumForeignBytes) -> String {
        utf8.count > maximum ? "\(beginning(bytes: maximum))… (\(utf8.count) bytes)" : self
    }

    /// As much of its beginning as fits into so many bytes of UTF-8, up to where a Unicode scalar ends: one character may
    /// have thousands of combining marks.
    package func beginning(bytes maximum: Int) -> Substring {
        let bytes = utf8
        guard bytes.count > maximum else { return self[...] }
        var end = bytes.index(bytes.startIndex, offsetBy: maximum)
        while bytes[end] & 0xc0 == 0x80 { bytes.formIndex(before: &end) }
        return self[..<end]
    }

    /// Its beginning. Unlike characters, scalars have a bounded number of bytes: four.
    package func firstScalars(_ count: Int) -> String {
        String(String.UnicodeScalarView(unicodeScalars.prefix(count)))
    }

    /// The same without what reads as a command or a setting to copy: whoever chose a name must not tell people what to run.
    package var withoutCommands: String {
        replacing("run: ", with: "run ").replacing("set: ", with: "set ")
    }
}
