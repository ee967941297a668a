internal import CLibPQ

/// Where a PostgreSQL is and how to log in, as Celery, Django and SQLAlchemy users write it.
///
/// Understood: `postgresql://`, `postgres://`, either with SQLAlchemy's driver (`postgresql+psycopg2://`), Celery's
/// `db+postgresql://`, and libpq's keyword string (`host=… dbname=…`). Query parameters that libpq does not know
/// (`conn_max_age`, `pool_size`, ...) configure the Python client; they are left out and named in `ignoredParameters`.
package struct PostgresAddress: Equatable, Sendable {
    /// libpq's keywords with their values. Holds the password.
    let parameters: [String: String]
    /// Names of query parameters that were left out.
    package let ignoredParameters: [String]

    /// Reads a URL or a keyword string.
    package init(_ text: String) throws(PostgresAddressError) {
        if let missingLibPQ {
            throw PostgresAddressError(description: "load libpq: \(missingLibPQ); install it (Debian: libpq5)")
        }
        var connectionString = text
        var ignored: [String] = []
        if let schemeEnd = text.firstRange(of: "://") {
            var scheme = text[..<schemeEnd.lowerBound].lowercased()
            if scheme.hasPrefix("db+") { scheme.removeFirst(3) }
            let dialect = scheme.prefix { $0 != "+" }
            guard dialect == "postgresql" || dialect == "postgres" else {
                throw PostgresAddressError(
                    description: "not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
                )
            }
            var rest = text[schemeEnd.upperBound...]
            var query = ""
            // Such a character would end the URL within the password, and the rest of it would pass for something else.
            let credentialsEnd = rest.firstIndex(of: "@") ?? rest.startIndex
            let pathStart = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
            guard credentialsEnd <= pathStart, rest.count(where: { $0 == "@" }) <= 1 else {
                throw PostgresAddressError(
                    description: "write %40 for an @, %2F for a /, %3F for a ? and %23 for a # in user and password"
                )
            }
            if let question = rest.firstIndex(of: "?") {
                (query, ignored) = try Self.filtered(query: rest[rest.index(after: question)...])
                rest = rest[..<question]
            }
            connectionString = "postgresql://\(rest)\(query.isEmpty ? "" : "?")\(query)"
        } else if !text.contains("=") {
            throw PostgresAddressError(
                description:
                    "neither a URL nor a libpq keyword string; write postgresql://user:password@host:5432/database"
            )
        }

        // libpq's message may quote the text, password included, so it is not passed on.
        guard let options = libpq.PQconninfoParse(connectionString, nil) else {
            throw PostgresAddressError(
                description: "not understood by libpq; write postgresql://user:password@host:5432/database, "
                    + "with %40 for an @ and %2F for a / in the password"
            )
        }
        defer { libpq.PQconninfoFree(options) }
        var parameters: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { parameters[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        for port in (parameters["port"] ?? "").split(separator: ",") {
            guard let number = UInt16(port), number > 0 else {
                throw PostgresAddressError(
                    description:
                        "the port must be a number from 1 to 65535; write postgresql://user:password@host:5432/database"
                )
            }
        }
        if let mode = parameters["sslmode"], !Self.sslModes.contains(mode) {
            throw PostgresAddressError(description: "sslmode must be one of \(Self.sslModes.joined(separator: ", "))")
        }
        self.parameters = parameters
        self.ignoredParameters = ignored
    }

    /// Source: https://www.postgresql.org/docs/15/libpq-ssl.html
    private static let sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

    private init(parameters: [String: String], ignoredParameters: [String]) {
        self.parameters = parameters
        self.ignoredParameters = ignoredParameters
    }

    /// The same server and role, and another of its databases.
    package func of(database: String) -> PostgresAddress {
        var parameters = parameters
        parameters["dbname"] = database
        return PostgresAddress(parameters: parameters, ignoredParameters: ignoredParameters)
    }

    /// The address without user and password, for logs and errors.
    package var redacted: String {
        let host = parameters["host"] ?? parameters["hostaddr"] ?? "the default socket"
        let port = parameters["port"].map { ":\($0)" } ?? ""
        return
            "PostgreSQL at \(host)\(port), database \(parameters["dbname"] ?? parameters["user"] ?? "of the user's name")"
    }

    /// Keeps what libpq knows; asyncpg's `ssl` is libpq's `sslmode`.
    private static func filtered(
        query: Substring
    ) throws(PostgresAddressError) -> (kept: String, ignored: [String]) {
        var known: Set<Substring> = []
        if let defaults = libpq.PQconndefaults() {
            defer { libpq.PQconninfoFree(defaults) }
            var option = defaults
            while let keyword = option.pointee.keyword {
                known.insert(Substring(String(cString: keyword)))
                option += 1
            }
        }
        var kept: [String] = []
        var ignored: [String] = []
        for pair in query.split(separator: "&") {
            let name = pair.prefix { $0 != "=" }
            if known.contains(name) {
                kept.append(String(pair))
            } else if name == "ssl" {
                let value = pair.dropFirst(4)
                kept.append("sslmode=\(value == "true" || value == "True" ? "require" : value)")
            } else if pair.contains("="), name.allSatisfy({ $0 == "_" || ($0.isASCII && $0.isLetter) }) {
                ignored.append(String(name))
            } else {
                // Not repeated: it may be the end of a password.
                throw PostgresAddressError(description: "parameters read name=value; write %26 for an & in a value")
            }
        }
        return (kept.joined(separator: "&"), ignored)
    }
}

/// Why a text is no address of PostgreSQL. The description holds no part of the text.
package struct PostgresAddressError: Error, Equatable, CustomStringConvertible {
    package let description: String
}
