/// The keys RedBeat writes. Source: redbeat/schedulers.py, `RedBeatConfig`; the prefix is concatenated verbatim.
struct RedBeatKeys: Equatable, Sendable {
    let prefix: String
    /// Nil where the lock is switched off.
    let lock: String?

    var schedule: String { prefix + ":schedule" }
    var statics: String { prefix + ":statics" }

    init(prefix: String, lock: RedBeatConfiguration.Lock) {
        self.prefix = prefix
        switch lock {
        case .standard: self.lock = prefix + ":lock"
        case .key(let key): self.lock = key
        case .off: self.lock = nil
        }
    }
}

/// What the exporter was told of RedBeat.
package struct RedBeatConfiguration: Equatable, Sendable {
    package enum Lock: Equatable, Sendable {
        /// The key that follows from the prefix.
        case standard
        /// The full name of the key. RedBeat puts the prefix before `redbeat_lock_key` where it is missing.
        case key(String)
        /// `redbeat_lock_key=None`.
        case off
    }

    package var keyPrefix = "redbeat:"
    package var lock = Lock.standard
    /// Seconds of `redbeat_lock_timeout`; learnt where nil.
    package var lockTimeout: Double?
    /// Seconds of `beat_max_loop_interval`; where nil, 300 or a fifth of the lock's timeout if that is more.
    package var maxLoopInterval: Double?
    /// Seconds a beat may be late before it counts as dead.
    package var grace = 2.0
    /// Whether RedBeat is known to be in use, so that an empty Redis means a dead beat and not another scheduler.
    package var isExpected = false
    /// Entries beyond this number are counted, not read.
    package var maximumEntries = 20_000

    /// The full name of the lock's key; nil where the lock is switched off.
    package var lockKey: String? { RedBeatKeys(prefix: keyPrefix, lock: lock).lock }

    package init() {}
}
