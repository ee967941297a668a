internal import System

/// A list of servers of which one is used until it fails, and then the next, in a circle: kombu's round-robin
/// (`Connection.maybe_switch_next`).
final class RedisFailover: RedisTopology {
    private let address: RedisAddress
    private let members: [(address: RedisAddress, servers: any RedisTopology)]
    /// The one that answered last.
    private var current = 0
    /// Why the first one was left.
    private var failureOfFirst: RedisError?

    init(_ address: RedisAddress, limits: RedisLimits) {
        self.address = address
        members = address.each.map { ($0, RedisClient.servers(at: $0, limits: limits)) }
    }

    var roundTrips: Int { members.reduce(0) { $0 + $1.servers.roundTrips } }

    var advice: String? {
        guard current != 0, let failureOfFirst else { return nil }
        return "\(members[current].address.redacted) is read, and will be until it fails, since the first of the list "
            + "could not be (\(failureOfFirst))"
    }

    func pipeline(_ commands: [RedisCommand], until deadline: Deadline) throws(RedisError) -> [RedisValue] {
        var failures: [RedisError] = []
        for attempt in members.indices {
            let index = (current + attempt) % members.count
            do throws(RedisError) {
                // One that hangs leaves time for the others.
                let share = deadline.share(amongst: members.count - attempt)
                let replies = try replies(of: index, to: commands, until: share)
                current = index
                return replies
            } catch {
                // Another would have no less to say.
                if case .replyTooLarge = error { throw error }
                if index == 0 { failureOfFirst = error }
                failures.append(error)
            }
        }
        throw failure(of: failures)
    }

    private func replies(
        of index: Int,
        to commands: [RedisCommand],
        until deadline: Deadline
    ) throws(RedisError) -> [RedisValue] {
        let replies = try members[index].servers.pipeline(commands, until: deadline)
        // What cannot answer yet counts as down, as for kombu (`BusyLoadingError`).
        if let loading = replies.lazy.compactMap(\.error).first(where: { $0.hasPrefix("LOADING") }) {
            throw .server(address: members[index].address.redacted, message: loading)
        }
        return replies
    }

    private func failure(of failures: [RedisError]) -> RedisError {
        var causes: [String] = []
        for failure in failures {
            guard case .connect(_, let cause) = failure else {
                return RedisError.mostTelling(failures) ?? failure
            }
            if !causes.contains(cause) { causes.append(cause) }
        }
        return .connect(address: address.redacted, cause: "none answers (\(causes.joined(separator: "; ")))")
    }
}
