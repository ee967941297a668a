internal import Glibc

/// Moments as text, in UTC.
enum UTCTime {
    /// - Parameter format: as of strftime(3).
    static func text(_ seconds: Int, _ format: String) -> String {
        var seconds: time_t = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 64)
        let length = strftime(&text, text.count, format, &parts)
        return String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
