internal import Celery
internal import Collection
internal import JSON
internal import Reading

// The shape is documented and promised in docs/api.md: members are added, never renamed or removed.

extension ApplicationStatus {
    /// The answer to /api/v1/status, in UTF-8.
    ///
    /// - Parameters:
    ///   - targets: the other applications, in a few words each.
    ///   - version: the exporter's.
    package func json(targets: [TargetSummary], version: String) -> [UInt8] {
        var output: [UInt8] = []
        JSONTree.object([
            ("version", .text(version)),
            ("target", JSONTree(target)),
            ("time", .number(time)),
            (
                "beat",
                .object([
                    ("active", JSONTree(isActive)),
                    ("lock_ttl", JSONTree(lockTimeToLive)),
                    ("schedulers", JSONTree(beats, \.json)),
                    ("search", search?.json ?? .null),
                ])
            ),
            ("queues", JSONTree(queues, \.json)),
            ("unacked", unacked?.json ?? .null),
            ("tasks", JSONTree(tasks, \.json)),
            ("pipelines", JSONTree(pipelines, \.json)),
            ("workers", JSONTree(workers, \.json)),
            ("collectors", JSONTree(collectors, \.json)),
            ("problems", JSONTree(problems, \.json)),
            ("targets", .object(targets.map { ($0.name, $0.json) })),
        ]).write(to: &output)
        output.append(UInt8(ascii: "\n"))
        return output
    }
}

extension ApplicationStatus.Beat {
    fileprivate var json: JSONTree {
        .object([
            ("scheduler", .text(scheduler.rawValue)),
            ("up", JSONTree(isUp)),
            ("certain", JSONTree(isUp == nil ? nil : !isPreliminary)),
            ("observed", JSONTree(observed)),
            ("heartbeat", JSONTree(heartbeat)),
            ("deadline", JSONTree(deadline)),
            ("grace", JSONTree(grace)),
            ("max_loop_interval", JSONTree(maxLoopInterval)),
            ("start_time", JSONTree(startTime)),
            ("instances", JSONTree(instances)),
            ("clock_skew", JSONTree(clockSkew)),
            (
                "lock",
                lock.map { lock in
                    .object([
                        ("held", .bool(lock.isHeld)),
                        ("ttl", JSONTree(lock.timeToLive)),
                        ("timeout", JSONTree(lock.timeout)),
                    ])
                } ?? .null
            ),
            ("last_task", JSONTree(lastTask)),
            ("next_due", JSONTree(nextDue)),
            ("entry_count", JSONTree(entryCount)),
            ("disabled_count", JSONTree(disabledCount)),
            ("invalid_count", JSONTree(invalidCount)),
            ("entries", JSONTree(entries, \.json)),
        ])
    }
}

extension BeatSearch {
    fileprivate var json: JSONTree {
        .object([
            ("looked_for", JSONTree(lookedFor.bounded) { .text($0) }),
            (
                "found",
                JSONTree(places.bounded) { .object([("text", .text($0.text)), ("setting", .text($0.setting))]) }
            ),
            ("not_searched", JSONTree(gaps.bounded) { .text($0) }),
        ])
    }
}

extension Array {
    fileprivate var bounded: [Element] { Array(prefix(BeatSearch.maximumLines)) }
}

extension ApplicationStatus.Entry {
    fileprivate var json: JSONTree {
        .object([
            ("entry", .text(name)),
            ("task_name", .text(task)),
            ("state", .text(state.rawValue)),
            ("last_run", JSONTree(lastRun)),
            ("next_due", JSONTree(nextDue)),
            ("overdue", JSONTree(overdue)),
            ("runs", JSONTree(runs)),
        ])
    }
}

extension ApplicationStatus.Queue {
    fileprivate var json: JSONTree { .object([("queue_name", .text(name)), ("messages", JSONTree(messages))]) }
}

extension ApplicationStatus.Unacked {
    fileprivate var json: JSONTree {
        .object([
            ("messages", JSONTree(messages)),
            ("oldest", JSONTree(oldest)),
            ("visibility_timeout", JSONTree(visibilityTimeout)),
        ])
    }
}

extension ApplicationStatus.Task {
    fileprivate var json: JSONTree {
        .object([
            ("task_name", .text(name)),
            ("success_ratios", .object(successRatios.map { ($0.window, .number($0.value)) })),
            ("in_progress", JSONTree(inProgress)),
        ])
    }
}

extension ApplicationStatus.Pipeline {
    fileprivate var json: JSONTree {
        .object([
            ("root_task_name", .text(rootTask)),
            ("completion_ratios", .object(completionRatios.map { ($0.window, .number($0.value)) })),
            ("in_progress", JSONTree(inProgress)),
        ])
    }
}

extension ApplicationStatus.Worker {
    fileprivate var json: JSONTree {
        .object([
            ("worker_name", .text(name)),
            ("state", .text(state.rawValue)),
            ("heartbeat", JSONTree(heartbeat)),
            ("active_tasks", JSONTree(activeTasks)),
        ])
    }
}

extension CollectorHealth {
    fileprivate var json: JSONTree {
        .object([
            ("collector", .text(name)),
            ("source", JSONTree(source)),
            ("success", JSONTree(hasEnded ? isSuccess : nil)),
            ("last_success", JSONTree(lastSuccess)),
            ("failing_since", JSONTree(failingSince)),
            ("reason", JSONTree(error?.reason.rawValue)),
            ("error", JSONTree(errorText)),
            ("notes", JSONTree(notes) { .text($0.bounded(Self.maximumErrorLength)) }),
        ])
    }
}

extension Problem {
    fileprivate var json: JSONTree {
        .object([
            ("severity", .text(severity.rawValue)),
            ("text", .text("\(subject): \(text)")),
            ("advice", .text(details.joined(separator: "; "))),
            ("alert", JSONTree(alert)),
            ("subject", .text(subject)),
            ("details", JSONTree(details) { .text($0) }),
        ])
    }
}

extension TargetSummary {
    fileprivate var json: JSONTree {
        .object([
            ("active", JSONTree(isActive)),
            ("overdue", JSONTree(worstLateness)),
            ("messages", JSONTree(messages)),
            ("critical", JSONTree(criticalCount)),
            ("warnings", JSONTree(warningCount)),
            ("failing_sources", JSONTree(failingSources) { .text($0) }),
        ])
    }
}
