internal import CLibPQ

/// A URL of a PostgreSQL as Django, SQLAlchemy, JDBC and others write it, made one that libpq reads.
package struct PostgresURL {
    /// What libpq gets. Holds the password.
    let libpqURL: String
    /// What was left out, and what to write instead.
    let remarks: [String]

    /// Dialects beside those that begin with postgres. CockroachDB and Redshift are none: they are no PostgreSQL.
    /// Sources: `DB_SCHEMES` of django-environ, `register` in dj-database-url, and drivers that lend their names.
    private static let dialects: Set<Substring> = [
        "postgres", "postgresql", "psql", "pgsql", "pg", "postgis", "timescale", "timescaledb", "timescalegis",
        "asyncpg",
        "psycopg", "psycopg2", "psycopg3", "aiopg", "pg8000",
    ]

    /// Whether a text begins as a URL of a PostgreSQL does. Celery's `db+` and Java's `jdbc:` may come before its scheme,
    /// SQLAlchemy's driver behind it (`postgresql+psycopg2`); django-prometheus has its name before it.
    package static func isOne(_ text: String) -> Bool {
        guard let schemeEnd = text.firstRange(of: "://") else { return false }
        var scheme = text[..<schemeEnd.lowerBound].lowercased()[...]
        for prefix in ["db+", "jdbc:", "prometheus_", "prometheus."] where scheme.hasPrefix(prefix) {
            scheme = scheme.dropFirst(prefix.count)
        }
        let dialect = scheme.prefix { $0 != "+" }
        return dialects.contains(dialect)
            || ["postgresql_", "postgresql-", "postgres_"].contains { dialect.hasPrefix($0) }
    }

    init(_ text: String) throws(PostgresAddressError) {
        guard Self.isOne(text), let schemeEnd = text.firstRange(of: "://") else {
            throw PostgresAddressError(
                description: "not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
            )
        }
        var rest = text[schemeEnd.upperBound...]
        // Such a character would end the URL within the password, and the rest of it would pass for something else.
        let credentialsEnd = rest.firstIndex(of: "@") ?? rest.startIndex
        let pathStart = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        guard credentialsEnd <= pathStart, rest.count(where: { $0 == "@" }) <= 1 else {
            throw PostgresAddressError(
                description: "write %40 for an @, %2F for a /, %3F for a ? and %23 for a # in user and password"
            )
        }
        var parameters = PostgresURLParameters()
        if let question = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: question)...].split(separator: "&") { try parameters.add(pair) }
            rest = rest[..<question]
        }
        let credentials = rest.contains("@") ? rest.prefix { $0 != "@" } + "@" : ""
        let place = rest.contains("@") ? rest.drop { $0 != "@" }.dropFirst() : rest
        if let socket = Socket(place) {
            rest = "\(credentials)\(socket.port)/\(socket.database)"
            parameters.set("host", socket.folder)
        }
        let query = parameters.query
        libpqURL = "postgresql://\(rest)\(query.isEmpty ? "" : "?")\(query)"
        remarks = parameters.remarks
    }

    /// The folder of a socket where a host should stand, as Django's readers of URLs take it: `//cloudsql/a:b:c/database`,
    /// `%2Fcloudsql%2Fa:b:c/database`.
    private struct Socket {
        let folder: Substring
        /// With its colon.
        let port: Substring
        let database: Substring

        init?(_ place: Substring) {
            let authority = place.prefix { $0 != "/" }
            let path = place[authority.endIndex...]
            let digits = authority.reversed().prefix { $0.isASCII && $0.isNumber }.count
            // The name of a folder may have colons too.
            port = authority.dropLast(digits).last == ":" ? authority.suffix(digits + 1) : ""
            let host = authority.dropLast(port.count)
            if host.lowercased().hasPrefix("%2f") {
                folder = host
                database = path.dropFirst()
                return
            }
            guard path.hasPrefix("//") || host.isEmpty else { return nil }
            let components = path.split(separator: "/")
            guard components.count > 1, let last = components.last else { return nil }
            folder = "/" + components.dropLast().joined(separator: "/")
            database = last
        }
    }
}

/// The parameters of a URL that libpq knows, in its words.
private struct PostgresURLParameters {
    private var kept: [String] = []
    private var ignored: [String] = []
    private var hosts: [Substring] = []
    private var advice: [String] = []

    var query: String {
        var all = kept
        // SQLAlchemy has a parameter for each of several hosts, libpq one for all.
        let pairs = hosts.map { host in host.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false) }
        if hosts.contains(where: { $0.hasPrefix("/") || $0.lowercased().hasPrefix("%2f") })
            || hosts.count == 1 && pairs[0].count == 1
        {
            all += hosts.suffix(1).map { "host=\($0)" }
        } else if !hosts.isEmpty {
            all.append("host=\(pairs.map { String($0[0]) }.joined(separator: ","))")
            if pairs.contains(where: { $0.count > 1 }) {
                all.append("port=\(pairs.map { $0.count > 1 ? String($0[1]) : "5432" }.joined(separator: ","))")
            }
        }
        return all.joined(separator: "&")
    }

    var remarks: [String] {
        guard !ignored.isEmpty else { return advice }
        let words = ignored.count == 1 ? ("parameter", "is") : ("parameters", "are")
        return advice + [
            "the \(words.0) \(ignored.joined(separator: ", ")) \(words.1) not for PostgreSQL and \(words.1) left out"
        ]
    }

    mutating func set(_ name: String, _ value: Substring) {
        if name == "host" { hosts = [value] } else { kept.append("\(name)=\(value)") }
    }

    mutating func add(_ pair: Substring) throws(PostgresAddressError) {
        let name = pair.prefix { $0 != "=" }
        let value = pair.dropFirst(name.count + 1)
        switch name {
        case "host" where pair.contains("="): hosts.append(value)
        case "ssl": kept.append("sslmode=\(Self.mode(ofSSL: value))")
        case "sslmode": kept.append("sslmode=\(Self.mode(value))")
        case "unix_sock", "unix_socket": hosts = [value]
        case _ where Self.known.contains(name): kept.append(String(pair))
        // Not repeated: it may be the end of a password.
        case _ where !pair.contains("=") || !name.allSatisfy({ $0 == "_" || ($0.isASCII && $0.isLetter) }):
            throw PostgresAddressError(description: "parameters read name=value; write %26 for an & in a value")
        case "currentSchema", "schema", "search_path", "searchpath", "searchPath":
            let isName = value.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == UInt8(ascii: "_")
            }
            advice.append(
                "the parameter \(name) is not libpq's and is left out; for tables in that schema write "
                    + "options=-c%20search_path%3D\(isName && !value.isEmpty ? value : "SCHEMA")"
            )
        case "targetServerType":
            advice.append(
                "the parameter targetServerType is not libpq's and is left out; write target_session_attrs=read-write "
                    + "or any"
            )
        default: ignored.append(String(name))
        }
    }

    /// The ssl of asyncpg, pg8000, JDBC and node-postgres, which may hold a mode too.
    private static func mode(ofSSL value: Substring) -> Substring {
        switch value.lowercased() {
        case "true", "t", "yes", "on", "1": "require"
        case "false", "f", "no", "off", "0": "prefer"
        default: mode(value)
        }
    }

    /// libpq's name of a mode; what others call no-verify is what libpq does where it is told of no CA.
    private static func mode(_ value: Substring) -> Substring {
        let mode = value.lowercased().split(separator: "_").joined(separator: "-")
        return ["no-verify", "required", "true"].contains(mode) ? "require" : mode[...]
    }

    /// libpq's own.
    private static var known: Set<Substring> {
        guard let defaults = libpq.PQconndefaults() else { return [] }
        defer { libpq.PQconninfoFree(defaults) }
        var known: Set<Substring> = []
        var option = defaults
        while let keyword = option.pointee.keyword {
            known.insert(Substring(String(cString: keyword)))
            option += 1
        }
        return known
    }
}
