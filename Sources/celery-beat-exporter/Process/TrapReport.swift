internal import CExecInfo
internal import Configuration
internal import Glibc

/// The last line of a program that ends by a fault of its own: which signal, on which thread, and where.
///
/// A trap of Swift's (an index out of range, an overflow) is an instruction that the processor refuses: without this the
/// program would be gone without a word.
enum TrapReport {
    private static let lineBytes = 2048
    private static let maximumFrames: CInt = 48
    /// What stands before the signal's name, the thread's, and the addresses, and what ends the line.
    private typealias Texts = (signal: StaticString, thread: StaticString, addresses: StaticString, end: StaticString)

    // The signal handler may neither allocate nor lock: all that it uses is made beforehand.
    nonisolated(unsafe) private static let line = UnsafeMutablePointer<UInt8>.allocate(capacity: lineBytes)
    nonisolated(unsafe) private static var length = 0
    nonisolated(unsafe) private static let thread = UnsafeMutablePointer<UInt8>.allocate(capacity: 16)
    nonisolated(unsafe) private static let frames =
        UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: Int(maximumFrames))
    /// Where the program's own code begins and ends in memory.
    nonisolated(unsafe) private static var code: Range<UInt> = 0..<0
    nonisolated(unsafe) private static var texts: Texts = ("", "", "", "")

    /// Has every later trap reported on standard error. The process then ends by its signal, as it would have.
    ///
    /// Addresses are offsets into the program's file, the innermost first, as `addr2line` takes them. Those within libraries
    /// are left out.
    static func install(format: Configuration.LogFormat) {
        texts =
            switch format {
            case .logfmt:
                (
                    #"level=critical msg="ended by a fault of its own: please report this line" signal="#, " thread=\"",
                    #"" addresses="#, "\n"
                )
            case .json:
                (
                    #"{"level":"critical","msg":"ended by a fault of its own: please report this line","signal":""#,
                    #"","thread":""#, #"","addresses":""#, "\"}\n"
                )
            }
        code = shim_code_start()..<max(shim_code_start(), shim_code_end())
        // Its first call loads the unwinder, which a signal handler may not.
        _ = backtrace(frames, 1)
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { TrapReport.report($0) }
            // Once: a trap within the report ends the program.
            action.sa_flags = CInt(bitPattern: UInt32(SA_RESETHAND))
            sigaction(number, &action, nil)
        }
    }

    /// What the signal handler does.
    private static func report(_ signal: CInt) {
        length = 0
        append(texts.signal)
        append(name(signal))
        append(texts.thread)
        appendThreadName()
        append(texts.addresses)
        let count = Int(backtrace(frames, maximumFrames))
        var isFirst = true
        for index in 0..<max(0, count) {
            let address = UInt(bitPattern: frames[index])
            guard code.contains(address) else { continue }
            if !isFirst { append(",") }
            isFirst = false
            append(hexadecimal: address - code.lowerBound)
        }
        append(texts.end)
        _ = write(STDERR_FILENO, line, length)
        // It comes when the handler has returned, and finds the default action.
        raise(signal)
    }

    private static func appendThreadName() {
        let file = open("/proc/thread-self/comm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        // The last byte is a line feed.
        let count = read(file, thread, 16) - 1
        close(file)
        for index in 0..<max(0, count) { append(thread[index]) }
    }

    private static func name(_ signal: CInt) -> StaticString {
        switch signal {
        case SIGILL: "SIGILL"
        case SIGTRAP: "SIGTRAP"
        case SIGSEGV: "SIGSEGV"
        case SIGBUS: "SIGBUS"
        case SIGFPE: "SIGFPE"
        default: "SIGABRT"
        }
    }

    private static func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private static func append(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { append(byte) }
    }

    private static func append(_ byte: UInt8) {
        guard length < lineBytes else { return }
        line[length] = byte
        length += 1
    }

    private static func append(hexadecimal number: UInt) {
        append("0x")
        let digits = (UInt.bitWidth - number.leadingZeroBitCount + 3) / 4
        for digit in (0..<max(1, digits)).reversed() {
            let value = UInt8(number >> (UInt(digit) * 4) & 0xf)
            append(value + (value < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10))
        }
    }
}
