internal import System

/// Why a source, or the whole of what a reader wants of it, could not be read.
package struct SourceError: Error, Equatable, Sendable {
    package let reason: ErrorReason
    /// One line for the log, of bounded length: what was attempted, on what, and what to do. It holds no secret.
    package let description: String

    package init(_ reason: ErrorReason, _ description: String) {
        self.reason = reason
        self.description = description.cut()
    }
}

/// Something in what a source holds that is not as its writer would have left it. It spoils one value, never the reading.
package struct SourceProblem: Equatable, Sendable {
    package let reason: ErrorReason
    /// One line for the log, of bounded length: what, and what to do. It may quote foreign data, never a secret.
    package let description: String

    package init(_ reason: ErrorReason, _ description: String) {
        self.reason = reason
        self.description = description.cut()
    }
}
