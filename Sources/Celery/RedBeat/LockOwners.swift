/// Counts the times that the lock was taken over.
///
/// The owner's token is read only once the lock was seen to be taken or extended: reading it at the first look would
/// destroy the lock's idle time. So the first token may already be another owner's than the one that was there first.
struct LockOwners {
    /// The owner that is known.
    private(set) var token: String?
    /// Changes of the owner that were seen.
    private(set) var changes = 0
    /// The lock of an owner whose token was not read: when it was first seen, and until when it would have held.
    private var unread: (since: Double, end: Double)?

    /// When a lock was taken is known as exactly as its timeout, in seconds.
    private static let tolerance = 0.1

    /// - Parameters:
    ///   - lock: nil while there is none.
    ///   - timeout: seconds that the lock is given when it is taken; nil until known.
    mutating func observe(_ lock: RedBeatReading.Lock?, at time: Double, timeout: Double?) {
        guard let lock else { return }
        guard let owner = lock.token else {
            if token == nil, let timeToLive = lock.timeToLive {
                unread = (unread?.since ?? time, time + timeToLive)
            }
            return
        }
        defer { (token, unread) = (owner, nil) }
        if let token {
            if owner != token { changes += 1 }
            return
        }
        guard let unread else { return }
        // Taken by a process that had not yet started when the lock was first seen, or after its end: nobody extends that.
        let hasStartedSince = LockToken.startTime(owner).map { $0 > unread.since } ?? false
        let taken = lock.timeToLive.flatMap { timeToLive in timeout.map { time + timeToLive - $0 } }
        if hasStartedSince || taken.map({ $0 >= unread.end - Self.tolerance }) ?? false { changes += 1 }
    }
}
