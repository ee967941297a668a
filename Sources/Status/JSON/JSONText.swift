internal import Collection

/// Texts as JSON writes them. They may hold foreign data: no control character, not even one beyond ASCII, is left as it is.
package enum JSONText {
    /// The text in quotes.
    package static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            default: scalar.append(to: &quoted)
            }
        }
        return quoted + "\""
    }

    /// The text as one line for a terminal: what is no control character stays as it is.
    package static func line(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars { scalar.append(to: &line) }
        return line
    }
}
