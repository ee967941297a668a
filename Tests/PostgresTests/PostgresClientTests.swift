import Foundation
import Postgres
import Testing

/// Against the PostgreSQL that `make test` starts and names in TEST_DATABASE_URL.
@Suite(.serialized) struct PostgresClientTests {
    private let address: PostgresAddress

    init() throws {
        let url = try #require(
            ProcessInfo.processInfo.environment["TEST_DATABASE_URL"],
            "no PostgreSQL to test against: run `make test`"
        )
        address = try PostgresAddress(url)
    }

    private func client(timeout: Duration = .seconds(60)) -> PostgresClient {
        PostgresClient(address: address, timeout: timeout)
    }

    private func rows(_ client: PostgresClient, _ sql: String, _ arguments: [String] = []) throws -> [PostgresRow] {
        try client.readOnly(until: .now + .seconds(60)) { transaction throws(PostgresError) in
            try transaction.query(sql, arguments)
        }
    }

    /// The SQLSTATE with which a statement is refused.
    private func state(_ client: PostgresClient, _ sql: String) -> String? {
        do {
            _ = try rows(client, sql)
            return nil
        } catch PostgresError.server(_, let state, _) {
            return state
        } catch {
            Issue.record("\(sql): \(error)")
            return nil
        }
    }

    @Test func valuesOfEveryKind() throws {
        let row = try #require(
            try rows(client(), "SELECT $1::text, $2::int + 1, 2.5::float8, true, NULL, E'a\\nb'", ["it's", "41"]).first
        )
        #expect(row.text(0) == "it's")
        #expect(row.integer(1) == 42)
        #expect(row.number(2) == 2.5)
        #expect(row.boolean(3) == true)
        #expect(row.text(4) == nil)
        #expect(row.text(5) == "a\nb")
    }

    @Test func whatIsNotThereIsNil() throws {
        let row = try #require(
            try rows(client(), "SELECT 9223372036854775807, 9007199254740992, 'Infinity'::float8, 'NaN'::float8, 'x'")
                .first
        )
        #expect(row.integer(0) == nil)
        #expect(row.integer(1) == 9_007_199_254_740_992)
        #expect(row.number(0) == nil)
        #expect([row.number(2), row.number(3), row.number(4)] == [nil, nil, nil])
        for column in [-1, 5, .max, .min] {
            #expect(row.text(column) == nil)
            #expect(row.integer(column) == nil)
            #expect(row.number(column) == nil)
            #expect(row.boolean(column) == nil)
        }
        #expect(try rows(client(), "SELECT").first?.columns == [])
    }

    @Test(arguments: [
        ("SELECT repeat('x', 300000)", "256 kB for a row"),
        ("SELECT repeat('x', 1000) FROM generate_series(1, 10000)", "4 MB of rows"),
        ("SELECT NULL FROM generate_series(1, 1000000)", "4 MB of rows"),
        (
            "SELECT " + Array(repeating: "NULL", count: 1600).joined(separator: ",") + " FROM generate_series(1, 5000)",
            "4 MB of rows"
        ),
        (Array(repeating: "SELECT 1", count: 100).joined(separator: ";"), "20 results"),
    ])
    func tooMuchIsNotRead(_ sql: String, _ limit: String) throws {
        let client = client()
        let address = address.redacted
        #expect(throws: PostgresError.overLimit(address: address, limit: limit)) { try rows(client, sql) }
        #expect(try rows(client, "SELECT 1").count == 1)
    }

    @Test func manyRowsAreReadWhereTheyAreExpected() throws {
        let count = 100_000
        let rows = try client().readOnly(until: .now + .seconds(60)) { transaction throws(PostgresError) in
            try transaction.query(
                "SELECT n, 'mail.send' FROM generate_series(1, \(count)) AS n",
                memory: 20 << 20
            )
        }
        #expect(rows.count == count)
        #expect(rows.last?.columns == ["\(count)", "mail.send"])
    }

    @Test func copyEndsTheConnectionAlone() throws {
        let client = client()
        let error = #expect(throws: PostgresError.self) { try rows(client, "COPY (SELECT 1) TO STDOUT") }
        guard case .connectionLost = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try rows(client, "SELECT 1").count == 1)
    }

    @Test func errorsAreShortLines() throws {
        let client = client()
        let error = #expect(throws: PostgresError.self) {
            try rows(client, "SELECT E'a\\nb\\x1b[31m\(String(repeating: "x", count: 5000))'::integer")
        }
        let text = try #require(error).description
        #expect(text.utf8.count < 1300)
        #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 })
    }

    /// Whatever the session's search path is.
    @Test func namesAreLookedForInPostgresItselfAlone() throws {
        let address = try PostgresAddress(
            (ProcessInfo.processInfo.environment["TEST_DATABASE_URL"] ?? "")
                + "?options=-csearch_path%3Dinformation_schema,%22a,b%22"
        )
        let client = PostgresClient(address: address, timeout: .seconds(60))
        let (schemas, path) = try client.readOnly(until: .now + .seconds(60)) { transaction throws(PostgresError) in
            (try transaction.searchPath(), try transaction.query("SHOW search_path").first?.text(0))
        }
        #expect(schemas == ["information_schema"])
        #expect(path == "pg_catalog, pg_temp")
        #expect(state(client, "SELECT FROM tables") == "42P01")
    }

    @Test func viewsAndPoliciesOfOthersAreReadOnlyWhereThatIsAskedFor() throws {
        func settings(_ relations: ReadableRelations) throws -> [String?]? {
            try client().readOnly(until: .now + .seconds(60), relations) { transaction throws(PostgresError) in
                try transaction.query(
                    """
                    SELECT current_setting('row_security'), current_setting('restrict_nonsystem_relation_kind')
                    """
                ).first?.columns
            }
        }
        #expect(try settings(.tables) == ["off", "view, foreign-table"])
        #expect(try settings(.all) == ["on", ""])
    }

    @Test func rowsComeSomeAtATime() throws {
        var seen: [Int64] = []
        try client().readOnly(until: .now + .seconds(60)) { transaction throws(PostgresError) in
            for stop in [2500, 1000, 3] as [Int64] {
                try transaction.forEachRow(of: "SELECT generate_series(1, $1::int)", ["2500"]) { row in
                    guard let number = row.integer(0) else { return false }
                    if number == stop { seen.append(number) }
                    return number < stop
                }
            }
        }
        #expect(seen == [2500, 1000, 3])
    }

    @Test func nothingCanBeWritten() {
        #expect(state(client(), "CREATE TABLE written (x int)") == "25006")
    }

    @Test func aRefusedStatementLeavesTheConnectionUsable() throws {
        let client = client()
        let process = try rows(client, "SELECT pg_backend_pid()")
        #expect(state(client, "SELECT * FROM absent") == "42P01")
        #expect(try rows(client, "SELECT pg_backend_pid()") == process)
    }

    @Test func whatIsOtherThanItMustBeLeavesTheConnectionUsable() throws {
        let client = client()
        let process = try rows(client, "SELECT pg_backend_pid()")
        let failures: [@Sendable (borrowing PostgresTransaction) -> PostgresError] = [
            { $0.missing("x") }, { $0.unexpected("x") },
        ]
        for failure in failures {
            #expect(throws: PostgresError.self) {
                try client.readOnly(until: .now + .seconds(60)) { transaction throws(PostgresError) in
                    throw failure(transaction)
                }
            }
            #expect(try rows(client, "SELECT pg_backend_pid()") == process)
        }
    }

    @Test func aSlowQueryIsStoppedByTheServer() {
        #expect(state(client(timeout: .seconds(5)), "SELECT pg_sleep(60)") == "57014")
    }

    @Test func sessionsCarryTheProgramsName() throws {
        let name = try rows(client(), "SELECT current_setting('application_name')")
        #expect(name.first?.text(0) == "celery-beat-exporter")
    }

    @Test func connectsAgainWhenTheServerHasEndedTheSession() throws {
        let client = client()
        let process = try #require(try rows(client, "SELECT pg_backend_pid()").first?.text(0))
        _ = try rows(self.client(), "SELECT pg_terminate_backend(\(process), 60000)")
        #expect(try rows(client, "SELECT pg_backend_pid()").first?.text(0) != process)
    }

    @Test func noServer() throws {
        let nowhere = try PostgresAddress("host=/nonexistent dbname=d password=secret")
        let error = #expect(throws: PostgresError.self) {
            try rows(PostgresClient(address: nowhere, timeout: .seconds(60)), "SELECT 1")
        }
        guard case .connect = error else {
            Issue.record("expected no connection, got \(String(describing: error))")
            return
        }
        #expect(error?.description.contains("\n") == false)
        #expect(error?.description.contains("secret") == false)
    }
}
