internal import Postgres
internal import Reading
internal import System
internal import TimeZones

extension SourceProblem {
    /// Someone's time zone is none that the system has.
    init(timeZone name: String, of owner: String) {
        self.init(.timeZone, "\(owner) \(Self.problem(timeZone: name))")
    }

    /// A key or a member of one, as a message names it: others wrote it, and it may be anything.
    static func name(_ key: [UInt8]) -> String {
        let shown = 200
        return String(decoding: key.prefix(shown), as: UTF8.self) + (key.count > shown ? "…" : "")
    }

    /// What follows the owner of a time zone that the system lacks.
    static func problem(timeZone name: String) -> String {
        "is in the time zone \"\(name)\", which this system does not have; \(TimeZone.installation)"
    }

    /// What went wrong with one table alone; nil where it is more than that.
    init?(_ error: PostgresError, readingTable table: String) {
        switch error.advising(onTable: table) {
        case .timeout: self.init(.timeout, "table \(table): \(error.description)")
        case .overLimit: self.init(.overLimit, "table \(table): \(error.description)")
        case .server(_, PostgresError.State.insufficientPrivilege, let message):
            self.init(.permission, "table \(table): \(message)")
        case .server(_, _, let message): self.init(error.isTimeout ? .timeout : .server, "table \(table): \(message)")
        case .missing: self.init(.server, "table \(table): it does not exist")
        case .unexpected(_, let problem): self.init(.server, "table \(table): \(problem)")
        case .connect, .connectionLost, .crowded: return nil
        }
    }
}

extension PostgresError {
    /// The same, with what would help if a table may not be read.
    func advising(onTable table: String) -> PostgresError {
        guard case .server(let address, State.insufficientPrivilege, let message) = self else { return self }
        let advice = "run: GRANT SELECT ON \(table) TO the exporter's role"
        return .server(
            address: address,
            state: State.insufficientPrivilege,
            message: "\(message.withoutCommands); \(advice)"
        )
    }
}
