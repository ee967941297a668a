internal import CArguments
internal import Glibc

/// What whoever started the process gave it, whatever libraries did before the program began: where flags or variables are
/// lost, TLS and passwords are lost with them.
struct GivenSettings {
    /// The program's name first. Swift's `CommandLine.arguments` is empty where a library has set a variable.
    let arguments: [String]
    /// With what libraries have set, and all that they have taken away.
    let environment: [String: String]

    init() {
        arguments = Self.texts(given_argument)
        var variables: [String: String] = [:]
        for text in Self.texts(present_variable) + Self.texts(given_variable) {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            // Of a variable that is there twice the first counts, as `getenv` has it.
            if parts.count == 2, variables[String(parts[0])] == nil { variables[String(parts[0])] = String(parts[1]) }
        }
        environment = variables
    }

    private static func texts(_ text: (CInt) -> UnsafePointer<CChar>?) -> [String] {
        var texts: [String] = []
        while let next = text(CInt(texts.count)) { texts.append(String(cString: next)) }
        return texts
    }
}
