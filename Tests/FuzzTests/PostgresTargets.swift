import Collection
import Foundation
import LyingRedis
import Postgres
import Reading
import Synchronization
import Testing

@testable import Celery

/// Conversations with a PostgreSQL that answers anything. What it says is a script: see `PostgresScript`.
let postgresTargets = [
    FuzzTarget("postgres-tasks", extremes(login + clock + catalog + tasks)) { bytes in
        postgres.answers(bytes) { client in
            let reader = TaskReader(client: client, configuration: TaskConfiguration())
            for _ in 0..<2 { _ = try reader.read(until: .now + .seconds(60)).state.map { "\($0)" } }
        }
    },
    FuzzTarget("postgres-pipelines", extremes(login + clock + catalog + pipelines)) { bytes in
        postgres.answers(bytes) { client in
            let reader = PipelineReader(client: client, configuration: TaskConfiguration())
            for _ in 0..<2 { _ = try reader.read(until: .now + .seconds(60)).state.map { "\($0)" } }
        }
    },
    FuzzTarget("postgres-workers", extremes(login + workers)) { bytes in
        postgres.answers(bytes) { client in
            let reader = WorkerReader(client: client, maximumWorkers: 1000)
            for _ in 0..<2 { _ = try reader.read(until: .now + .seconds(60)).state.map { "\($0)" } }
        }
    },
    FuzzTarget("postgres-beat", extremes(login + beat)) { bytes in
        postgres.answers(bytes) { client in
            let reader = DatabaseSchedulerReader(
                client: client,
                maxLoopInterval: { 5 },
                grace: 3,
                isExpected: false
            )
            for _ in 0..<2 { _ = try reader.read(until: .now + .seconds(60)).state.map { "\($0)" } }
        }
    },
    FuzzTarget("postgres-evidence", extremes(login + catalog + evidence)) { bytes in
        postgres.answers(bytes) { client in
            let reader = EvidenceReader(
                client: client,
                tables: TaskConfiguration().tables,
                schedule: [expected],
                grace: 3
            )
            for _ in 0..<2 { _ = try reader.read(until: .now + .seconds(60)).state.map { "\($0)" } }
        }
    },
    FuzzTarget("postgres-server", extremes(login + server) + [refusal, copies, "", "login\nR10 SCRAM-SHA-256~~"]) {
        bytes in
        postgres.answers(bytes) { client in
            _ = try PostgresServerReader(client: client).read(until: .now + .seconds(60))
        }
    },
]

/// What the scripts say must reach the readers, or nothing is tried by what is made of them.
@Suite(.serialized) struct PostgresScriptTests {
    @Test func samplesAreUnderstood() throws {
        let configuration = TaskConfiguration()
        var states: [String: Bool] = [:]
        func read(_ script: String, _ body: (PostgresClient) throws -> Void) {
            let problem = postgres.answers(Array(script.utf8), expectsSuccess: true, body)
            #expect(problem == nil)
        }
        read(login + clock + catalog + tasks) { client in
            states["tasks"] =
                try TaskReader(client: client, configuration: configuration).read(until: .now + .seconds(60)).state
                != nil
        }
        read(login + clock + catalog + pipelines) { client in
            let reader = PipelineReader(client: client, configuration: configuration)
            states["pipelines"] = try reader.read(until: .now + .seconds(60)).state.map {
                "\($0)".contains("shop.order")
            }
        }
        read(login + workers) { client in
            let state = try WorkerReader(client: client, maximumWorkers: 9).read(until: .now + .seconds(60)).state
            states["workers"] = state?.workers.count == 2 && state?.queues.count == 1
        }
        read(login + beat) { client in
            let reader = DatabaseSchedulerReader(client: client, maxLoopInterval: { 5 }, grace: 3, isExpected: false)
            states["beat"] = try reader.read(until: .now + .seconds(60)).state.map { "\($0)".contains("shop.nightly") }
        }
        read(login + catalog + evidence) { client in
            let reader = EvidenceReader(client: client, tables: configuration.tables, schedule: [expected], grace: 3)
            states["evidence"] = try reader.read(until: .now + .seconds(60)).state != nil
        }
        read(login + server) { client in
            states["server"] =
                try PostgresServerReader(client: client).read(until: .now + .seconds(60)).version == "15.18"
        }
        let all = ["tasks", "pipelines", "workers", "beat", "evidence", "server"]
        #expect(states == Dictionary(uniqueKeysWithValues: all.map { ($0, true) }))
    }
}

private let postgres = AnyPostgres()

private let expected = ExpectedEntry(
    name: "ship",
    task: "orders.ship",
    timing: .interval(seconds: 10),
    tolerance: 5
)

// MARK: Scripts

private let login = "login\nR0\nSserver_encoding~UTF8~\nSserver_version~15.18~\nK\nZ\(separator)"
private let clock = "SELECT extract(epoch FROM\nT1\nD1795788357\(separator)"
private let path = "current_schemas\nT1\nDpublic\(separator)reset_val\nT1\nDEtc/UTC\(separator)"
private let catalog =
    path
    + answer(relations: [
        relation(
            "task_info",
            [
                ("task_id", "character varying"), ("status", "character varying"), ("task_name", "character varying"),
                ("result", "text"), ("error_message", "text"), ("traceback", "text"), ("retry_count", "integer"),
                ("root_task_id", "character varying"), ("chain_total", "integer"),
                ("task_time", "timestamp with time zone"), ("completed_time", "timestamp with time zone"),
            ]
        )
    ])
private let tasks = """
    floor(\nT8\nD179578835|mail.send|FAILURE|0|1|0|0|unknown\nD179578835|mail.send|SUCCESS|6|1|2.5|3|~\
    \nD179578834|orders.ship|SUCCESS|~|1|2|0|~\(separator)words.word\nT1\nDSTARTED\(separator)\
    state, count(*)\nT3\nDmail.send|STARTED|1\nDorders.ship|STARTED|1\(separator)
    """
private let pipelines = """
    words.word\nT1\nDSTARTED\(separator)roots\nT1\nDa\nDb\(separator)\
    GROUP BY 1\nT9\nDa|shop.order|3|2|0|3|1795788350.5|1795788355.25|~\nDb|shop.order|3|1|2|~|~|1795788355|1795788355\(separator)
    """
private let workers =
    path
    + answer(relations: [
        relation(
            "worker_status",
            [
                ("worker_name", "character varying"), ("status", "text"),
                ("last_heartbeat", "timestamp with time zone"), ("active_tasks", "integer"),
            ]
        ),
        relation(
            "queue_stats",
            [("queue_name", "text"), ("depth", "integer"), ("recorded_at", "timestamp without time zone")]
        ),
    ])
        + """
        worker_name IS NOT NULL\nT6\nDone|ONLINE|1795788357|1|20|3\nDtwo|~|~|~|~|~\(separator)\
        latest.depth\nT3\nDmail|12|1795788350.5\(separator)
        """
private let beat =
    """
    pg_is_in_recovery\nT3\nD1795788357.25|0|f\(separator)\
    backend_start\nT3\nD17 2026-11-21 00:44:59+00|1795788356|tick\nD18 2026-11-21|1795788300.5|schedule\(separator)\
    seq_scan\nT3\nD1000|20|1\(separator)\
    one_off\nT20\nDevery|shop.count|t|mail|1795788350|12|1795788000|~|~|f|10|seconds|~|~|~|~|~|~|~|f\
    \nDnightly|shop.nightly|t|~|~|0|1795788000|1795788000|1895788000|t|~|~|30|4|*|*|*|Europe/Paris|~|f\
    \nDonce|shop.once|f|~|~|0|1795788000|~|~|t|~|~|~|~|~|~|~|~|1795799000|f\
    \nDsun|shop.sun|t|~|~|0|1795788000|~|~|f|~|~|~|~|~|~|~|~|~|t\(separator)
    """
    + path
    + answer(relations: [
        relation("django_celery_beat_periodictasks", [("last_update", "timestamp with time zone")]),
        relation(
            "django_celery_beat_periodictask",
            [
                ("name", "character varying"), ("task", "character varying"), ("enabled", "boolean"),
                ("queue", "character varying"), ("last_run_at", "timestamp with time zone"),
                ("total_run_count", "integer"), ("date_changed", "timestamp with time zone"),
                ("start_time", "timestamp with time zone"), ("expires", "timestamp with time zone"),
                ("one_off", "boolean"), ("interval_id", "integer"), ("crontab_id", "integer"),
                ("clocked_id", "integer"), ("solar_id", "integer"),
            ]
        ),
        relation(
            "django_celery_beat_intervalschedule",
            [("id", "integer"), ("every", "integer"), ("period", "character varying")]
        ),
        relation(
            "django_celery_beat_crontabschedule",
            [
                ("id", "integer"), ("minute", "character varying"), ("hour", "character varying"),
                ("day_of_week", "character varying"), ("day_of_month", "character varying"),
                ("month_of_year", "character varying"), ("timezone", "character varying"),
            ]
        ),
        relation(
            "django_celery_beat_clockedschedule",
            [("id", "integer"), ("clocked_time", "timestamp with time zone")]
        ),
    ])
private let evidence = """
    clock_timestamp\nT1\nD1795788357.5\(separator)max(run)\nT2\nDorders.ship|1795788350.5\(separator)\
    ORDER BY f.\nT1\nD1795000000\(separator)
    """
private let server = "server_version\nT4\nD15.18 (Debian)|exporter|f|0\(separator)"
private let refusal =
    "login\nR0\nZ\(separator)SELECT\nNWARNING a notice\nE42P01 relation \"x\" does not exist\(separator)"
private let copies =
    "login\nR0\nZ\(separator)server_version\nT4\nG\nH\nW\nL1000 D1|2|3\nAchannel~load\n-\(separator)SELECT\nT0\nD\n!\u{0}"

/// A row for each column of a table, as `RelationCatalog` asks for them.
private func relation(_ name: String, _ columns: [(name: String, type: String)]) -> String {
    // One identifier for each name, the same in every run.
    let identifier = 16_384 + name.utf8.reduce(0) { ($0 * 31 + Int($1)) % 100_000 }
    return columns.map { column in
        "D\(name)|\(identifier)|r|public|\(name)|public|\(name)|celery|t|t|exporter|0|~|\(column.name)|\(column.type)|t|f|t"
    }.joined(separator: "\n")
}

private func answer(relations: [String]) -> String {
    "names.title\nT18\n\(relations.joined(separator: "\n"))\(separator)"
}

/// A script, and the same with one extreme number in the place of every number in its rows.
private func extremes(_ script: String) -> [String] {
    let numbers = [
        "9223372036854775807", "-9223372036854775808", "9007199254740992", "-9007199254740992", "9007199254740993",
        "-1",
        "0", "1e308", "-1e308", "9e15", "1e-320", "Infinity", "-Infinity", "NaN", "99999999999", "~", "",
    ]
    return [script]
        + numbers.map { number in
            let lines = script.split(separator: "\n", omittingEmptySubsequences: false).map { line in
                guard line.hasPrefix("D") else { return String(line) }
                let cells = line.dropFirst().split(separator: "|", omittingEmptySubsequences: false)
                return "D" + cells.map { Double($0) == nil ? String($0) : number }.joined(separator: "|")
            }
            return lines.joined(separator: "\n")
        }
}

/// A script of what a PostgreSQL says: parts for what it is asked, the first of which says of which questions it is the answer
/// by a piece of their text. Then comes a message in each line.
private enum PostgresScript {
    /// The messages of a part: its lines but the first. Behind them an answer is ended, unless the last line is a dash.
    static func messages(_ part: [UInt8], isLogin: Bool) -> [UInt8] {
        var lines = part.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropFirst()
        let isOpen = lines.last == [UInt8(ascii: "-")]
        if isOpen { lines.removeLast() }
        let messages = lines.flatMap { message($0[...]) }
        return isOpen || isLogin ? messages : messages + done
    }

    static let done = framed(UInt8(ascii: "C"), Array("SELECT 1\u{0}".utf8)) + framed(UInt8(ascii: "Z"), [0x54])

    /// One message, by its first letter.
    private static func message(_ line: ArraySlice<UInt8>) -> [UInt8] {
        guard let kind = line.first else { return [] }
        let rest = line.dropFirst()
        // A tilde stands for the zero at the end of a text.
        let text = rest.map { $0 == UInt8(ascii: "~") ? 0 : $0 }
        func number(_ bytes: some Sequence<UInt8>) -> Int { Int(String(decoding: Array(bytes), as: UTF8.self)) ?? 1 }
        switch Unicode.Scalar(kind) {
        case "T":
            let count = number(rest)
            let column = Array("c\u{0}".utf8) + big(0, 4) + big(0, 2) + big(25, 4) + big(-1, 2) + big(-1, 4) + big(0, 2)
            return framed(kind, big(count, 2) + Array(repeatElement(column, count: min(max(0, count), 2000)).joined()))
        case "D":
            let values = rest.split(separator: UInt8(ascii: "|"), maxSplits: .max, omittingEmptySubsequences: false)
            let cells = values.flatMap { $0 == [UInt8(ascii: "~")] ? big(-1, 4) : big($0.count, 4) + Array($0) }
            return framed(kind, rest.isEmpty ? big(0, 2) : big(values.count, 2) + cells)
        case "E", "N":
            let words = text.split(separator: 0x20, maxSplits: 1)
            let fields: [UInt8] = zip(["C", "M"], words).flatMap { name, word -> [UInt8] in
                Array(name.utf8) + word + [0]
            }
            return framed(kind, Array("SERROR\u{0}".utf8) + fields + [0])
        case "R":
            let words = text.split(separator: 0x20, maxSplits: 1)
            return framed(kind, big(number(words.first ?? []), 4) + (words.count > 1 ? Array(words[1]) : []))
        case "K": return framed(kind, big(17, 4) + big(18, 4))
        case "Z": return framed(kind, rest.isEmpty ? [0x49] : text)
        case "A": return framed(kind, big(1, 4) + text)
        case "G", "H", "W": return framed(kind, [0, 0, 0] + text)
        // A message that lies about its length.
        case "L":
            let words = rest.split(separator: 0x20, maxSplits: 1)
            let whole = message(words.count > 1 ? words[1] : [])
            return whole.isEmpty ? [] : [whole[0]] + big(number(words[0]), 4) + whole.dropFirst(5)
        case "!": return Array(rest)
        default: return framed(kind, text)
        }
    }

    private static func framed(_ kind: UInt8, _ body: [UInt8]) -> [UInt8] { [kind] + big(body.count + 4, 4) + body }

    /// The last bytes of a number, the greatest first.
    private static func big(_ number: Int, _ count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }
}

/// A PostgreSQL on a Unix socket that answers by a script, and closes a connection on which it is asked nothing more.
private final class AnyPostgres: Sendable {
    private let folder = NSTemporaryDirectory() + "fuzz-postgres-\(getpid())"
    private let said = Mutex<[[UInt8]]>([])

    /// Milliseconds for which it waits for the next question.
    private static let patience: CInt = 20

    init() {
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let listener = listening(at: "\(folder)/.s.PGSQL.1")
        Thread { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                serve(connection)
                shutdown(connection, CInt(SHUT_WR))
                // To close before all was read would take the answer away from the client.
                while !received(connection, waiting: -1).isEmpty {}
                close(connection)
            }
        }.start()
    }

    private func serve(_ connection: CInt) {
        let parts = said.withLock { $0 }
        var unused = Array(parts.indices)
        var asked: [UInt8] = []
        var hasBegun = false
        // What the rows are asked by that are fetched some at a time.
        var cursor = ""
        while true {
            let some = received(connection, waiting: Self.patience)
            if some.isEmpty { return }
            asked += some
            while let (kind, body) = nextMessage(&asked, hasKind: hasBegun) {
                let isQuestion = !hasBegun || kind == UInt8(ascii: "Q") || kind == UInt8(ascii: "P")
                guard isQuestion else { continue }
                var question = hasBegun ? String(decoding: body, as: UTF8.self) : "login"
                if question.contains("DECLARE") { (question, cursor) = ("", question) }
                if question.contains("FETCH") { question = cursor }
                let isAnswered = { (part: Int) -> Bool in
                    let name = parts[part].prefix { $0 != UInt8(ascii: "\n") }
                    return question.contains(String(decoding: name, as: UTF8.self))
                }
                let part = unused.first(where: isAnswered) ?? parts.indices.last(where: isAnswered)
                unused.removeAll { $0 == part }
                let answer = part.map { PostgresScript.messages(parts[$0], isLogin: !hasBegun) } ?? PostgresScript.done
                hasBegun = true
                // What it does not take while it has nothing to read was too much.
                _ = answer.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            }
        }
    }

    /// Takes a client's message off what was received; nil where it is not whole.
    private func nextMessage(_ bytes: inout [UInt8], hasKind: Bool) -> (kind: UInt8, body: ArraySlice<UInt8>)? {
        let start = hasKind ? 1 : 0
        guard bytes.count >= start + 4 else { return nil }
        let length = bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
        guard length >= 4, bytes.count >= start + length else { return nil }
        let message = (bytes[0], ArraySlice(Array(bytes[(start + 4)..<(start + length)])))
        bytes.removeFirst(start + length)
        return message
    }

    /// What comes within some milliseconds; empty at the end.
    private func received(_ connection: CInt, waiting milliseconds: CInt) -> [UInt8] {
        var state = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
        guard poll(&state, 1, milliseconds) > 0 else { return [] }
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(connection, &piece, piece.count)
        return Array(piece.prefix(max(0, count)))
    }

    /// Reads with a client to whom that is said. It must end by an error that fits a line of the log, or well.
    func answers(
        _ bytes: [UInt8],
        expectsSuccess: Bool = false,
        _ read: (PostgresClient) throws -> Void
    ) -> String? {
        said.withLock { $0 = parts(bytes, 64) }
        do {
            let address = try PostgresAddress("host=\(folder) port=1 user=u password=p dbname=d")
            try read(PostgresClient(address: address, timeout: .seconds(60)))
        } catch let error as SourceError {
            if error.description.hasPrefix("wait for") { return "waits for more than there is" }
            // Readers name columns and types as they are in errors about what a server refuses.
            let quotes = [.server, .permission, .timeout].contains(error.reason)
            guard quotes || isPlainLine(error.description) else { return "no plain line: \(error)" }
            guard error.description.utf8.count < 1100 else { return "the error is too long" }
            return expectsSuccess ? "\(error)" : nil
        } catch {
            return "\(error)"
        }
        return nil
    }
}
