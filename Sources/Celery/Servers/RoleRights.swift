internal import Postgres

/// What the role that asks could do besides reading tables, if anything ever ran with its rights.
struct RoleRights {
    /// What to change; nil where it can do no more than it should.
    let warning: String?

    init(_ transaction: borrowing PostgresTransaction) throws(PostgresError) {
        let rows = try transaction.query(Self.query)
        guard let role = rows.first?.text(Column.role) else {
            warning = nil
            return
        }
        let isSuperuser = rows.contains { $0.boolean(Column.isSuperuser) == true }
        let memberships = rows.compactMap { $0.text(Column.dangerousRole) }
        guard isSuperuser || !memberships.isEmpty else {
            warning = nil
            return
        }
        let power = isSuperuser ? "a superuser" : "a member of \(memberships.joined(separator: ", "))"
        warning =
            "the database's role \(role) is \(power), and what ever ran with its rights could take over the server; give the "
            + "exporter a role that may only read its tables, as docs/security.md shows"
    }

    private enum Column: Int, SelectedColumn {
        case role, isSuperuser, dangerousRole

        var expression: String {
            switch self {
            case .role: "quote_ident(own.rolname)"
            case .isSuperuser: "own.rolsuper"
            case .dangerousRole: "dangerous.rolname"
            }
        }
    }

    /// Who has logged in counts as well as whom the session acts for, since it can go back; and roles that reach beyond the
    /// database. Source: https://www.postgresql.org/docs/current/predefined-roles.html
    private static let query = """
        SELECT \(Column.list(\.expression))
        FROM pg_catalog.pg_roles AS own
        LEFT JOIN pg_catalog.pg_roles AS dangerous
            ON dangerous.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
            AND pg_has_role(own.oid, dangerous.oid, 'MEMBER')
        WHERE own.rolname IN (current_user, session_user)
        ORDER BY own.rolname = session_user DESC, dangerous.rolname
        LIMIT 6
        """
}
