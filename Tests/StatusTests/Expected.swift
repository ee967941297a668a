import Foundation

/// Long texts that tests compare with are files in `expected`. Where UPDATE_EXPECTED is set they are written anew: read the
/// difference before it is committed.
enum Expected {
    static func text(_ name: String, is actual: String) throws -> String {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "expected/\(name)"
        )
        if ProcessInfo.processInfo.environment["UPDATE_EXPECTED"] != nil {
            try actual.write(to: file, atomically: true, encoding: .utf8)
        }
        return try String(contentsOf: file, encoding: .utf8)
    }
}
