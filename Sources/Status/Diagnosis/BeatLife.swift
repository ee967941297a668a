extension ApplicationStatus {
    /// Whether a beat is alive: concluded here alone, for the page, the JSON and `check`.
    ///
    /// It is judged by the last look at it and by the time of that look, as `celery_beat_up` is. Beat may show life again and
    /// again between two looks, so a deadline that has passed since the look says nothing: whoever shows the state says how
    /// old the look is.
    package enum Life: Equatable, Sendable {
        case alive
        /// It seems to be alive, but what was seen does not prove it.
        case uncertain
        case dead
        /// Nothing of a beat is where it is looked for, and never was: it is dead, or somewhere else.
        case notFound
        /// It cannot be told.
        case unknown
    }
}

extension ApplicationStatus.Beat {
    package var life: ApplicationStatus.Life {
        switch isUp {
        case true: isPreliminary ? .uncertain : .alive
        case false: isNowhere ? .notFound : .dead
        case nil: .unknown
        }
    }

    /// Whether it was in time when it was looked at, and its deadline has passed since: only the next look tells.
    var isDueSinceLook: Bool { isUp == true && deadline.map { $0 <= now } ?? false }

    /// Entries that a beat that is alive does not send; of a dead one all are late.
    package var lateEntries: ArraySlice<ApplicationStatus.Entry> {
        isUp == true ? entries.prefix { $0.state == .late } : []
    }

    /// Whether beat has nothing to send.
    package var hasEmptySchedule: Bool { isUp != nil && !isNowhere && entryCount == 0 }

    /// How far its clock is off, where that is more than it may be late.
    package var harmfulClockSkew: Double? {
        guard let clockSkew, clockSkew.magnitude > grace ?? 0 else { return nil }
        return clockSkew
    }

    /// The entry's name, with its task where another entry has the same name.
    package func title(of entry: ApplicationStatus.Entry) -> String {
        entries.count { $0.name == entry.name } > 1 ? "\(entry.name), task \(entry.task)" : entry.name
    }
}
