import Testing

@testable import Celery

/// What a tick promises, with the tick at 0.
@Suite struct RedBeatWakeTests {
    private func candidate(
        due: Double,
        score: Double? = nil,
        lastRun: Double = -100,
        isSentWhenDue: Bool = true
    ) -> RedBeatWake.Candidate {
        RedBeatWake.Candidate(
            score: score ?? due,
            isEnabled: true,
            due: due,
            lastRun: lastRun,
            isKnown: true,
            isSentWhenDue: isSentWhenDue
        )
    }

    private func wake(
        now: Double,
        _ candidates: [RedBeatWake.Candidate],
        pace: RedBeatPace = RedBeatPace()
    ) -> RedBeatWake {
        RedBeatWake(
            tick: 1000,
            now: 1000 + now,
            candidates: candidates.map {
                var candidate = $0
                candidate.score += 1000
                candidate.due? += 1000
                candidate.lastRun? += 1000
                return candidate
            },
            maxLoopInterval: 300,
            hasScores: true,
            pace: pace
        )
    }

    @Test func whatIsDueIsSentSoon() {
        let hangs = wake(now: 250, [candidate(due: -1), candidate(due: 200)])
        #expect(hangs.time == 1005)
        #expect(!hangs.isAtWork)
    }

    /// A crontab that is too late by `beat_cron_starting_deadline` is never sent.
    @Test func whatMayBeSkippedPromisesNothing() {
        let skipped = candidate(due: -3000, isSentWhenDue: false)
        #expect(wake(now: 20, [skipped, candidate(due: 30)]).time == 1030)
        #expect(wake(now: 200, [skipped]).time == 1300)
    }

    /// 1,000 entries of a Redis far away: nothing is seen of a tick until it has loaded them all.
    @Test func aTickThatLoadsManyEntriesTakesItsTime() {
        let due = Array(repeating: candidate(due: -1), count: 1000)
        let loading = wake(now: 20, due)
        #expect(loading.time == 1055)
        #expect(loading.isAtWork)
        // Once they are loaded, each run promises the next.
        let sent = (0..<500).map { candidate(due: 60, lastRun: 8 + Double($0) / 100) }
        let sending = wake(now: 13, sent + due.prefix(500))
        #expect(sending.time == 1000 + 8 + 4.99 + 5)
        #expect(sending.loadedCount == 1000)
    }

    @Test func whatFallsDueWhileATickIsAtWorkIsNoPromiseOfItsOwn() {
        let due = Array(repeating: candidate(due: -1), count: 1000)
        #expect(wake(now: 20, due.dropLast() + [candidate(due: 1)]).time == 1055)
    }

    @Test func thePaceOfBeatIsLearnt() {
        var pace = RedBeatPace()
        #expect(pace.loading(1000) == 50)
        let sent = (0..<1000).map { candidate(due: 60, lastRun: 8 + Double($0) / 100) }
        pace.observe(wake(now: 20, sent), tick: 1000)
        #expect(pace.loading(1000) == 32)
        #expect(pace.loading(10) == 0)
        #expect(pace.pause == 5)
    }

    /// Neither a last run nor a due time that is yet to come moves the deadline.
    @Test func lastRunsToComeAreNone() {
        #expect(wake(now: 10, [candidate(due: 86_410, lastRun: 86_400)]).time == 1300)
    }
}
