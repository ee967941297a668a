internal import Glibc

/// The code that only the start needs: reading settings, linking, making readers.
enum StartupCode {
    /// Gives its memory back, some megabytes. The kernel maps code in pieces of 64 kB around what runs, and what runs at the
    /// start is spread over all of it. Code that is needed again comes from the page cache.
    ///
    /// Only mappings that can be executed and not be written are given back: they hold nothing but what is in their file.
    static func release() {
        guard let maps = fopen("/proc/self/maps", "re") else { return }
        defer { fclose(maps) }
        var line = [CChar](repeating: 0, count: 4352)
        while fgets(&line, CInt(line.count), maps) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // 7f0000000000-7f0000001000 r-xp 00000000 08:01 1234  /usr/lib/libc.so.6
            let fields = text.split(separator: " ")
            guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { continue }
            let bounds = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            guard bounds.count == 2, bounds[0] < bounds[1] else { continue }
            madvise(UnsafeMutableRawPointer(bitPattern: bounds[0]), Int(bounds[1] - bounds[0]), MADV_DONTNEED)
        }
    }
}
