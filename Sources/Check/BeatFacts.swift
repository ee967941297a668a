internal import Celery
internal import Configuration
internal import Status

/// What is well with one beat: the lines of `check` beside its problems.
struct BeatFacts {
    private let beat: ApplicationStatus.Beat
    private let settings: BeatSettings

    init(_ beat: ApplicationStatus.Beat, _ settings: BeatSettings) {
        self.beat = beat
        self.settings = settings
    }

    var findings: [Finding] { [life, schedule].compactMap(\.self) }

    private var life: Finding? {
        guard beat.life == .alive else { return nil }
        let sign =
            switch beat.scheduler {
            case .ping: "answers to \(settings.pingPattern ?? "pings")"
            case .evidence: "its tasks run: the last \(ago(beat.heartbeat))"
            case .redbeat, .django: "alive: last sign of life \(ago(beat.heartbeat))"
            }
        return finding(
            beat.deadline.map { "\(sign); the next is due by \(time($0))" } ?? sign,
            [lock, beat.startTime.map { "started \(time($0))" }].compactMap(\.self)
        )
    }

    /// The lock, where there is one to speak of.
    private var lock: String? {
        beat.lock?.words(settings) ?? (beat.scheduler == .redbeat ? "lock off, as --redbeat.lock-key says" : nil)
    }

    private var schedule: Finding? {
        guard let entries = beat.entryCount, beat.life != .notFound, !beat.hasEmptySchedule else { return nil }
        var parts = ["\(entries) \(entries == 1 ? "entry" : "entries")"]
        for (count, word) in [(beat.disabledCount, "disabled"), (beat.invalidCount, "not readable")] {
            if let count, count > 0 { parts[0] += ", \(count) \(word)" }
        }
        if let due = beat.nextDue {
            parts.append(due > beat.now ? "next due in \(span(due - beat.now))" : "next due since \(time(due))")
        } else {
            parts.append("none is due again")
        }
        if let last = beat.lastTask { parts.append("last task sent \(ago(last))") }
        return finding(parts.joined(separator: "; "), notStored.map { [$0] } ?? [])
    }

    /// Entries that were due, of which beat has stored no run since.
    private var notStored: String? {
        let count = beat.entries.count { $0.state == .unknown }
        guard beat.scheduler == .django, beat.isUp == true, count > 0 else { return nil }
        return "\(count) \(count == 1 ? "was" : "were") due before; beat stores runs every 3 minutes, and has not yet "
            + "stored whether it sent \(count == 1 ? "it" : "them")"
    }

    private func finding(_ text: String, _ details: [String]) -> Finding {
        Finding(.ok, beat.scheduler.rawValue, text, details)
    }

    private func span(_ seconds: Double) -> String { TimeText.duration(seconds) }

    private func time(_ moment: Double) -> String { ApplicationStatus.Beat.time(moment) ?? "never" }

    private func ago(_ moment: Double?) -> String { moment.map(beat.ago) ?? "unknown" }
}
