import Foundation

/// Says which input it was that made the process trap, or kept it busy for too long.
enum CrashReport {
    /// An input that takes longer ends the process.
    private static let hangSeconds: UInt32 = 60
    private static let signals = [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM]

    // Read by the signal handler, which may neither allocate nor lock. Written by one test at a time.
    nonisolated(unsafe) private static let line = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    nonisolated(unsafe) private static var length = 0
    /// What handled each signal before.
    nonisolated(unsafe) private static let handlers = UnsafeMutablePointer<sigaction>.allocate(capacity: 65)
    /// For the handler, where the trap is that there is no stack left.
    nonisolated(unsafe) private static let stack = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 16)

    private static let install: Void = {
        for number in signals {
            var action = sigaction()
            action.sa_flags = SA_ONSTACK
            action.__sigaction_handler.sa_handler = { number in
                if CrashReport.length > 0 { _ = write(STDERR_FILENO, CrashReport.line, CrashReport.length) }
                sigaction(number, CrashReport.handlers + Int(number), nil)
                raise(number)
            }
            sigaction(number, &action, handlers + Int(number))
        }
    }()

    /// Does something that may trap; should it, the line is told.
    static func during<Result>(_ text: String, _ body: () -> Result) -> Result {
        _ = install
        var handlerStack = stack_t(ss_sp: stack, ss_flags: 0, ss_size: 1 << 16)
        var stackBefore = stack_t()
        sigaltstack(&handlerStack, &stackBefore)
        let bytes = Array("fuzz: ended by \(text)\n".utf8).prefix(256)
        for (index, byte) in bytes.enumerated() { line[index] = byte }
        length = bytes.count
        alarm(hangSeconds)
        defer {
            alarm(0)
            length = 0
            sigaltstack(&stackBefore, nil)
        }
        return body()
    }
}
