internal import Configuration
internal import Glibc
internal import JSON
internal import Logging
internal import System

/// Makes one line of each event, in logfmt or JSON.
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    let format: Configuration.LogFormat
    let writer: LogWriter

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let line = Self.line(
            time: Self.timestamp(),
            level: event.level,
            message: event.message.description,
            metadata: metadata.merging(event.metadata ?? [:]) { $1 },
            format: format
        )
        writer.write(Array(line.utf8))
    }

    /// Writes to standard error, and says there if lines had to be dropped.
    static func standardError(_ format: Configuration.LogFormat) -> LogWriter {
        LogWriter(STDERR_FILENO) { count in
            let message = "lines of this log were dropped: nobody read them in time, or they could not be written"
            let line = line(
                time: timestamp(),
                level: .warning,
                message: message,
                metadata: ["lines": "\(count)"],
                format: format
            )
            return Array(line.utf8)
        }
    }

    static func line(
        time: String,
        level: Logger.Level,
        message: String,
        metadata: Logger.Metadata,
        format: Configuration.LogFormat
    ) -> String {
        let level = level == .warning ? "warn" : level.rawValue
        let pairs =
            [("time", time), ("level", level), ("msg", message.cut())]
            // They may be of anybody who is read or who asks.
            + metadata.sorted { $0.key < $1.key }.map {
                ($0.key, $0.value.description.cut())
            }
        switch format {
        case .logfmt:
            return pairs.map { key, value in "\(key)=\(isBare(value) ? value : JSONText.quoted(value))" }.joined(
                separator: " "
            )
                + "\n"
        case .json:
            return "{"
                + pairs.map { key, value in "\(JSONText.quoted(key)):\(JSONText.quoted(value))" }.joined(separator: ",")
                + "}\n"
        }
    }

    /// Whether logfmt needs no quotes. Where it does, it reads a JSON string as well.
    private static func isBare(_ value: String) -> Bool {
        !value.isEmpty && value.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x3d && $0 != 0x5c }
    }

    /// Now, in UTC with milliseconds, as RFC 3339 has it.
    private static func timestamp() -> String {
        let now = UnixTime.milliseconds
        let milliseconds = String(now % 1000 + 1000).dropFirst()
        return UTCTime.text(now / 1000, "%Y-%m-%dT%H:%M:%S") + ".\(milliseconds)Z"
    }
}
