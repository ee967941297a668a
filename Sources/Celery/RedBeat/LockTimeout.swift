/// The timeout of the lock, configured or learnt.
///
/// RedBeat resets the lock's time to live to its timeout at every tick, so `last tick = now - (timeout - time to live)`.
/// The timeout itself is written nowhere. Two observations bound it from below, and the best bound is kept for as long
/// as the lock has the same owner:
/// - it is no less than any time to live that was seen;
/// - it is no less than the time to live plus the time since the key was last touched, since each extension touches it.
///   Redis tells that time in whole seconds of its clock, so up to a second too long; it is taken at its shortest.
///
/// A timeout estimated too short makes the last tick, and with it the deadline, later: never a false alarm.
struct LockTimeout {
    private let configured: Double?
    private var token: String?
    private var learnt: Double?
    /// When that was first learnt.
    private var learntSince = 0.0
    /// Whether more than a time to live told the timeout: it was configured, or the lock was seen to be taken or extended,
    /// or its idle time was known. Otherwise the last tick may be long past.
    private(set) var isCertain = false
    /// When the lock was last seen to end; minus infinity when there was none, nil before the first look.
    private var end: Double?

    /// Redis caches the clock of idle times for up to a tenth of a second (`hz`).
    private static let clockGranularity = 1.1
    /// Two looks at the end of one lock differ by less than this, in seconds.
    private static let endTolerance = 0.05

    init(configured: Double?) {
        self.configured = configured
    }

    /// There is no lock: the next may be another beat's.
    mutating func forget() {
        learnt = nil
        isCertain = false
        end = -.infinity
    }

    mutating func observe(_ lock: RedBeatReading.Lock, at time: Double) -> Double? {
        if let owner = lock.token, owner != token {
            // What was learnt before the first owner was read is about that owner, unless it came later.
            let isLater = LockToken.startTime(owner).map { $0 > learntSince } ?? true
            if token != nil || isLater { learnt = nil }
            token = owner
        }
        guard let timeToLive = lock.timeToLive else { return configured ?? learnt }
        let end = time + timeToLive
        if let before = self.end, end > before + Self.endTolerance { isCertain = true }
        if configured != nil || lock.idle != nil { isCertain = true }
        self.end = end
        var bound = timeToLive
        if let idle = lock.idle {
            let touched = time.rounded(.down) - idle + Self.clockGranularity
            bound = max(bound, timeToLive + time - touched)
        }
        // RedBeat extends by whole seconds: `int(lock_timeout)`. A clock read after the time to live may be a few
        // milliseconds on, which must not add a second.
        if learnt == nil { learntSince = time }
        // What is configured is right unless more was seen: then the longest that was seen, or each look would seem to be
        // the moment of a tick.
        if configured != nil { bound = timeToLive }
        learnt = max(learnt ?? 0, (bound - 0.02).rounded(.up))
        return max(configured ?? 0, learnt ?? 0)
    }
}

/// The start of a beat, from its lock's token: `uuid.uuid1().hex`, made as the process began to ask for the lock.
/// Source: redis-py's redis/lock.py; RFC 9562, section 5.1.
enum LockToken {
    /// Unix seconds; nil when the token is no UUID of version 1.
    static func startTime(_ token: String) -> Double? {
        let digits = Array(token.utf8)
        guard digits.count == 32, digits[12] == UInt8(ascii: "1") else { return nil }
        func number(_ range: Range<Int>) -> UInt64? {
            UInt64(String(decoding: digits[range], as: UTF8.self), radix: 16)
        }
        guard let low = number(0..<8), let middle = number(8..<12), let high = number(13..<16), number(16..<32) != nil
        else { return nil }
        // Ticks of 100 ns since 15 October 1582.
        let ticks = high << 48 | middle << 32 | low
        return (Double(ticks) - 122_192_928_000_000_000) / 1e7
    }
}
