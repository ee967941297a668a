internal import Glibc

/// What a server says, as a log line can hold it: one line of at most a kilobyte that sends nothing to a terminal.
///
/// libpq's messages end in line breaks and may have several lines.
func plainLine(_ message: UnsafePointer<CChar>?) -> String {
    guard let message else { return "no message" }
    let maximum = 1024
    let length = strnlen(message, maximum + 1)
    let bytes = UnsafeBufferPointer(start: message, count: min(length, maximum)).map { UInt8(bitPattern: $0) }
    var line = ""
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
        switch scalar.value {
        case 0x09, 0x0a, 0x0d, 0x85, 0x2028, 0x2029: if line.last != " " { line += " " }
        case 0..<0x20, 0x7f...0x9f:
            let digits = String(scalar.value, radix: 16)
            line += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: line.unicodeScalars.append(scalar)
        }
    }
    while line.last == " " { line.removeLast() }
    return length > maximum ? line + "…" : line
}

/// A SQLSTATE, which is five letters and digits whatever a server may send in its place.
func sqlState(_ text: UnsafePointer<CChar>?) -> String {
    guard let text, strnlen(text, 6) == 5 else { return "unknown" }
    let state = String(cString: text)
    let isOne = state.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) }
    return isOne ? state : "unknown"
}
