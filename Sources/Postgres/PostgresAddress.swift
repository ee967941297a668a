internal import CLibPQ

/// Where a PostgreSQL is and how to log in, as Celery, Django and SQLAlchemy users write it.
///
/// Understood: the URLs that `PostgresURL` knows, and libpq's keyword string (`host=… dbname=…`). Query parameters that
/// libpq does not know (`conn_max_age`, `pool_size`, ...) configure the Python client; they are left out and named in
/// `remarks`.
package struct PostgresAddress: Hashable, Sendable {
    /// libpq's keywords with their values. Holds the password.
    private(set) var parameters: [String: String]
    /// What was left out of it, for the log: each what, and what to write instead.
    package let remarks: [String]

    /// Reads a URL or a keyword string.
    package init(_ text: String) throws(PostgresAddressError) {
        if let missingLibPQ {
            throw PostgresAddressError(description: "load libpq: \(missingLibPQ); install it (Debian: libpq5)")
        }
        guard text.first != "\"", text.first != "'" else {
            throw PostgresAddressError(
                description: "remove the quotes around it; write postgresql://user:password@host:5432/database"
            )
        }
        var connectionString = text
        var remarks: [String] = []
        if text.contains("://") {
            let url = try PostgresURL(text)
            (connectionString, remarks) = (url.libpqURL, url.remarks)
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
        if let mode = parameters["sslmode"], !Self.sslModes.contains(mode) {
            throw PostgresAddressError(description: "sslmode must be one of \(Self.sslModes.joined(separator: ", "))")
        }
        // The socket's file, where libpq wants its folder.
        if let host = parameters["host"], host.hasPrefix("/"), let file = host.firstRange(of: "/.s.PGSQL.") {
            parameters["port"] = parameters["port"] ?? String(host[file.upperBound...])
            parameters["host"] = String(host[..<file.lowerBound])
        }
        for port in (parameters["port"] ?? "").split(separator: ",") {
            guard let number = UInt16(port), number > 0 else {
                throw PostgresAddressError(
                    description:
                        "the port must be a number from 1 to 65535; write postgresql://user:password@host:5432/database"
                )
            }
        }
        self.parameters = parameters
        self.remarks = remarks
    }

    /// Source: https://www.postgresql.org/docs/15/libpq-ssl.html
    private static let sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

    /// The same server and role, and another of its databases.
    package func of(database: String) -> PostgresAddress {
        var address = self
        address.parameters["dbname"] = database
        return address
    }

    /// The server, as far as its name tells: two names of one server are two.
    var server: String {
        ["host", "hostaddr", "port", "service"].map { (parameters[$0] ?? "").lowercased() }.joined(separator: " ")
    }

    /// The address without user and password, for logs and errors.
    package var redacted: String {
        let host = parameters["host"] ?? parameters["hostaddr"] ?? "the default socket"
        let port = parameters["port"].map { ":\($0)" } ?? ""
        return
            "PostgreSQL at \(host)\(port), database \(parameters["dbname"] ?? parameters["user"] ?? "of the user's name")"
    }
}

/// Why a text is no address of PostgreSQL. The description holds no part of the text.
package struct PostgresAddressError: Error, Equatable, CustomStringConvertible {
    package let description: String
}
