import Reading
import Testing

@testable import Celery

@Suite struct SQLNameTests {
    @Test(arguments: [
        ("task_info", ["task_info"]), ("Jobs.Runs", ["jobs", "runs"]),
        (#""Jobs"."Task ""Runs""""#, ["Jobs", #"Task "Runs""#]),
        (#"jobs."two words""#, ["jobs", "two words"]),
    ])
    func namesOfTables(text: String, parts: [String]) {
        #expect(SQLName.parts(text) == parts)
    }

    @Test(arguments: [
        "", ".", "a.", ".a", "a.b.c", "two words", "1a", #""a"#, #"""#, #""""#, #""a"b"#, "a;b", "é",
        String(repeating: "a", count: 64),
    ])
    func noNamesOfTables(text: String) {
        #expect(SQLName.parts(text) == nil)
    }

    @Test func quotes() {
        #expect(SQLName.quoted("task_info") == "task_info")
        #expect(SQLName.quoted("Task") == #""Task""#)
        #expect(SQLName.quoted(#"a"b"#) == #""a""b""#)
        #expect(SQLName.quoted("1a") == #""1a""#)
    }
}

@Suite struct TaskTableSelectionTests {
    private func table(_ title: String, _ identifier: Int64) -> TaskTable {
        TaskTable(
            definition: TaskTableDefinition(table: title, columns: [:]),
            relation: Relation(title, identifier),
            columns: [:],
            details: [],
            zone: "UTC"
        )
    }

    private func titles(_ selection: TaskTableSelection) -> [[String]] {
        [selection.chosen.map(\.title), selection.undecided.map(\.title), selection.leftOut.map(\.table.title)]
    }

    @Test func tablesWithOtherTasksAreAllRead() {
        var selection = TaskTableSelection()
        selection.update([table("a", 1), table("b", 2)]) { _, _ in false }
        #expect(titles(selection) == [["a", "b"], [], []])
        #expect(selection.notes.isEmpty)
    }

    @Test func ofTablesWithTheSameTasksTheFirstIsRead() {
        var selection = TaskTableSelection()
        selection.update([table("a", 1), table("b", 2), table("c", 3)]) { table, _ in table.title == "b" }
        #expect(titles(selection) == [["a", "c"], [], ["b"]])
        #expect(selection.notes == ["b records the same tasks as a, which is read; it is not"])
    }

    @Test func whatIsReadStaysSo() {
        var selection = TaskTableSelection()
        selection.update([table("b", 2)]) { _, _ in true }
        #expect(titles(selection) == [["b"], [], []])
        // A table that is preferred comes later, and nobody knows yet what it holds.
        selection.update([table("a", 1), table("b", 2)]) { _, _ in nil }
        #expect(titles(selection) == [["b"], ["a"], []])
        selection.update([table("a", 1), table("b", 2)]) { _, _ in true }
        #expect(titles(selection) == [["b"], [], ["a"]])
        // What is known is not asked again; another table of that name is.
        selection.update([table("a", 1), table("b", 2)]) { _, _ in nil }
        #expect(titles(selection) == [["b"], [], ["a"]])
        selection.update([table("a", 9), table("b", 2)]) { _, _ in false }
        #expect(titles(selection) == [["b", "a"], [], []])
        // Both count, whatever is not known of a new one.
        selection.update([table("a", 10), table("b", 2)]) { _, _ in nil }
        #expect(titles(selection) == [["a", "b"], [], []])
        selection.update([table("a", 10)]) { _, _ in true }
        #expect(titles(selection) == [["a"], [], []])
    }
}

@Suite struct RelationTests {
    private static let state = Relation.Column(name: "state", type: "shop.state", origin: .enumeration, isIndexed: true)

    @Test func valuesOfOthersTypesAreReadByTheirOutputAlone() {
        let plain = Relation.Column(name: "Status", type: "text", origin: .builtIn, isIndexed: true)
        #expect(plain.text("t.\(plain.quoted)") == #"t."Status"::text"#)
        #expect(Self.state.text("t.state") == "(CASE WHEN t.state IS NOT NULL THEN format('%s', t.state) END)")
        #expect(Self.state.parameter(3) == "$3::shop.state")
    }

    @Test func timesAndNumbersAreOfPostgresOwnTypes() {
        for origin in [Relation.TypeOrigin.enumeration, .other] {
            let time = Relation.Column(name: "a", type: "timestamp with time zone", origin: origin, isIndexed: false)
            let number = Relation.Column(name: "a", type: "bigint", origin: origin, isIndexed: false)
            #expect(!TaskTable.isTime(time) && !TaskTable.isNumber(number))
        }
    }

    @Test func whatMayRunOthersCodeIsRefusedWithWhatToDo() {
        #expect(Relation("runs", 1).refusal(advice: "") == nil)
        let refusal = Relation("runs", 1, hazard: .materializedView).refusal(advice: "name it")
        #expect(
            refusal?.description
                == "runs of app is a materialized view, which may run what others wrote with the exporter's rights, so it is "
                + "not read; name it"
        )
    }
}

extension Relation {
    init(_ name: String, _ identifier: Int64, hazard: Hazard? = nil) {
        self.init(
            title: name,
            identifier: identifier,
            schema: "public",
            plainName: name,
            name: "public.\(name)",
            shownName: name,
            owner: "app",
            kind: .table,
            hazard: hazard,
            role: "exporter",
            isOpen: true,
            isReadable: true,
            estimatedRows: 0,
            columns: [:]
        )
    }
}
