/// HTML in the making. What is interpolated is text and escaped, unless it is Markup itself, so that nothing foreign becomes
/// a tag.
struct Markup: ExpressibleByStringInterpolation {
    private(set) var text: String

    init(stringLiteral literal: String) { text = literal }

    init(stringInterpolation interpolation: StringInterpolation) { text = interpolation.text }

    /// Pieces one after another.
    init(_ pieces: some Sequence<Markup>, separator: Markup = "") {
        text = pieces.map(\.text).joined(separator: separator.text)
    }

    /// Our own text that is HTML already: the style and the script.
    init(raw bytes: [UInt8]) { text = String(decoding: bytes, as: UTF8.self) }

    static func + (left: Markup, right: Markup) -> Markup { "\(left)\(right)" }

    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""

        init(literalCapacity: Int, interpolationCount: Int) {
            text.reserveCapacity(literalCapacity + interpolationCount * 16)
        }

        mutating func appendLiteral(_ literal: String) { text += literal }

        mutating func appendInterpolation(_ markup: Markup) { text += markup.text }

        mutating func appendInterpolation(_ number: Int) { text += String(number) }

        mutating func appendInterpolation(_ foreign: String) {
            for scalar in foreign.unicodeScalars {
                switch scalar {
                case "&": text += "&amp;"
                case "<": text += "&lt;"
                case ">": text += "&gt;"
                case "\"": text += "&quot;"
                case "'": text += "&#39;"
                case _ where Self.isInvisible(scalar): text += "\u{fffd}"
                default: text.unicodeScalars.append(scalar)
                }
            }
        }

        /// Control characters, and those that reorder the text around them so that a name reads as another.
        private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.value {
            case 0..<0x20, 0x7f...0x9f, 0x061c, 0x200b, 0x200e...0x200f, 0x2028...0x202e, 0x2060...0x2069, 0xfeff: true
            default: false
            }
        }
    }
}
