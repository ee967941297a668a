/// Whether OBJECT IDLETIME can be believed.
///
/// While a child process saves or rewrites the data, reads do not reset idle times, to keep memory pages shared. Source:
/// Redis's src/db.c, `lookupKey`.
struct IdleTimes {
    /// Whether touches since the last observation all count.
    private(set) var areReliable = false
    private var forks: Int64?
    private var lastSave: Int64?

    mutating func observe(_ information: ServerInformation) {
        let isSaving = ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "module_fork_in_progress"].contains {
            information[$0] == 1
        }
        let forks = information["total_forks"]
        areReliable = !isSaving && (self.forks == nil || forks == self.forks)
        self.forks = forks
        lastSave = information["rdb_last_save_time"]
    }

    /// The idle time in seconds; nil when it cannot be believed, and under an eviction policy by frequency (LFU), which
    /// makes the command an error.
    func trusted(_ idle: Int?, at time: Double) -> Double? {
        guard areReliable, let idle, let lastSave, Double(lastSave) < time - Double(idle) - 1 else { return nil }
        return Double(idle)
    }
}
