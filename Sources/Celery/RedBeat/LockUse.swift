/// Whether a RedBeat works with a lock or without one, judged from what it does where nobody has said so.
///
/// A lock that is there answers it. Without one, two things prove a beat that needs none (`redbeat_lock_key=None`):
/// entries run while there is no lock, at two looks at least, since a beat may come and go between two of them; or the
/// schedule is touched again and again although nobody who watches it does so, and no entry that is due waits.
struct LockUse {
    enum Answer: Equatable {
        case unknown
        case used
        case unused
    }

    private(set) var answer: Answer
    private let isConfigured: Bool
    /// Whether there was no lock at the last look either.
    private var wasMissing = false
    private var runsWithoutLock = 0
    private var touch: Double?
    private var touches = 0

    /// What must be seen so many times.
    private static let proofs = 2
    /// Two looks at one touch differ by less than this, in seconds: idle times are whole seconds.
    private static let sameTouch = 2.1

    init(_ lock: RedBeatConfiguration.Lock) {
        isConfigured = lock == .off
        answer = isConfigured ? .unused : .unknown
    }

    /// - Parameters:
    ///   - hasLock: whether there is one now.
    ///   - hasRun: whether an entry has run since the last look.
    ///   - touch: when the schedule was last touched by anyone else; nil where that is not known.
    ///   - isLate: whether an entry waits that beat should have sent.
    mutating func observe(hasLock: Bool, hasRun: Bool, touch: Double?, isLate: Bool) {
        guard !isConfigured else { return }
        defer { wasMissing = !hasLock }
        guard !hasLock else {
            answer = .used
            (runsWithoutLock, self.touch, touches) = (0, nil, 0)
            return
        }
        if wasMissing, hasRun { runsWithoutLock += 1 }
        // A beat with a lock that has just ended leaves touches behind, and so does one that waits for it.
        if answer == .unknown, let touch {
            let isNew = self.touch.map { touch > $0 + Self.sameTouch } ?? true
            if isNew, self.touch != nil { touches += 1 }
            if isNew { self.touch = touch }
            if isLate { touches = 0 }
        }
        if runsWithoutLock >= Self.proofs || touches >= Self.proofs { answer = .unused }
    }
}
