import Testing

@testable import Postgres

@Suite struct PostgresAddressTests {
    @Test(arguments: [
        "postgresql://me:secret@h:5433/d", "postgres://me:secret@h:5433/d", "postgresql+psycopg2://me:secret@h:5433/d",
        "postgresql+asyncpg://me:secret@h:5433/d", "db+postgresql://me:secret@h:5433/d",
        "db+postgresql+psycopg://me:secret@h:5433/d", "host=h port=5433 dbname=d user=me password=secret",
        "postgresql://me:secret@h:5433/d?conn_max_age=600&pool_size=5",
        // django-environ's, dj-database-url's and django-prometheus's schemes, drivers, Java's.
        "psql://me:secret@h:5433/d", "pgsql://me:secret@h:5433/d", "postgis://me:secret@h:5433/d",
        "prometheus_postgresql://me:secret@h:5433/d", "prometheus_postgis://me:secret@h:5433/d",
        "timescale://me:secret@h:5433/d", "timescalegis://me:secret@h:5433/d", "POSTGIS://me:secret@h:5433/d",
        "postgres+psycopg2://me:secret@h:5433/d", "asyncpg://me:secret@h:5433/d",
        "postgresql_psycopg2://me:secret@h:5433/d", "jdbc:postgresql://h:5433/d?user=me&password=secret",
        // SQLAlchemy's host.
        "postgresql+psycopg2://me:secret@/d?host=h:5433",
    ])
    func understood(text: String) throws {
        let address = try PostgresAddress(text)
        #expect(
            address.parameters.filter { ["host", "port", "dbname", "user", "password"].contains($0.key) }
                == ["host": "h", "port": "5433", "dbname": "d", "user": "me", "password": "secret"]
        )
        #expect(address.redacted == "PostgreSQL at h:5433, database d")
    }

    @Test func parametersThatLibpqDoesNotKnowAreNamedAndLeftOut() throws {
        let address = try PostgresAddress("postgresql+asyncpg://h/d?conn_max_age=600&sslmode=require&pool=x")
        #expect(address.remarks == ["the parameters conn_max_age, pool are not for PostgreSQL and are left out"])
        #expect(address.parameters["sslmode"] == "require")
        #expect(try PostgresAddress("postgresql+asyncpg://h/d?ssl=true").parameters["sslmode"] == "require")
        #expect(try PostgresAddress("postgresql+asyncpg://h/d?ssl=verify-full").parameters["sslmode"] == "verify-full")
    }

    /// The folder of a socket, in every place where people write it.
    @Test(arguments: [
        "postgresql://me:secret@//cloudsql/a-b:c:d/shop", "postgres://me:secret@/cloudsql/a-b:c:d/shop",
        "postgis://me:secret@%2Fcloudsql%2Fa-b:c:d/shop", "psql://me:secret@%2fcloudsql%2fa-b%3Ac%3Ad/shop",
        "postgresql://me:secret@/shop?host=/cloudsql/a-b:c:d", "postgresql://me:secret@:/shop?host=/cloudsql/a-b:c:d",
        "postgresql://me:secret@:5432//cloudsql/a-b:c:d/shop",
        "postgresql+pg8000://me:secret@/shop?unix_sock=/cloudsql/a-b:c:d/.s.PGSQL.5432",
        "postgresql://me:secret@localhost//cloudsql/a-b:c:d/shop",
        "host=/cloudsql/a-b:c:d user=me password=secret dbname=shop",
    ])
    func sockets(text: String) throws {
        let address = try PostgresAddress(text)
        let expected = ["host": "/cloudsql/a-b:c:d", "dbname": "shop", "user": "me", "password": "secret"]
        #expect(address.parameters.filter { expected.keys.contains($0.key) } == expected)
        #expect(["5432", nil].contains(address.parameters["port"]))
        #expect(address.redacted.hasPrefix("PostgreSQL at /cloudsql/a-b:c:d"))
    }

    @Test func socketWithoutUserOrWithAPort() throws {
        let address = try PostgresAddress("postgres:////run/postgresql/shop")
        #expect(address.parameters["host"] == "/run/postgresql")
        #expect(address.parameters["dbname"] == "shop")
        #expect(try PostgresAddress("postgres://%2Frun%2Fpostgresql:5433/shop").parameters["port"] == "5433")
        #expect(try PostgresAddress("postgres://:5433//run/postgresql/shop").parameters["port"] == "5433")
        #expect(try PostgresAddress("postgres:///shop").parameters["host"] == nil)
    }

    @Test(arguments: [
        ("sslmode=no-verify", "require"), ("sslmode=VERIFY_FULL", "verify-full"), ("ssl=1", "require"),
        ("ssl=false", "prefer"), ("ssl=no-verify", "require"), ("sslmode=disable", "disable"),
    ])
    func modes(parameter: String, mode: String) throws {
        #expect(try PostgresAddress("postgresql://h/d?\(parameter)").parameters["sslmode"] == mode)
    }

    @Test func severalHostsAsSQLAlchemyWritesThem() throws {
        let address = try PostgresAddress("postgresql://me@/d?host=a:5433&host=b")
        #expect(address.parameters["host"] == "a,b")
        #expect(address.parameters["port"] == "5433,5432")
    }

    @Test(arguments: [
        ("currentSchema=shop", "options=-c%20search_path%3Dshop"),
        ("schema=public", "options=-c%20search_path%3Dpublic"),
        ("search_path=a,b", "options=-c%20search_path%3DSCHEMA"),
        ("targetServerType=primary", "target_session_attrs=read-write"),
        ("serverTimezone=UTC&charset=utf8", "the parameters serverTimezone, charset are not for PostgreSQL"),
        ("pgbouncer=true", "the parameter pgbouncer is not for PostgreSQL"),
    ])
    func whatToWriteInstead(parameters: String, instead: String) throws {
        let remarks = try PostgresAddress("postgresql://h/d?\(parameters)").remarks
        #expect(remarks.count == 1 && remarks[0].contains(instead), "\(remarks)")
    }

    @Test func theRemedyIsUnderstood() throws {
        let address = try PostgresAddress("postgresql://h/d?options=-c%20search_path%3Dshop")
        #expect(address.parameters["options"] == "-c search_path=shop")
        #expect(address.remarks.isEmpty)
    }

    @Test(arguments: ["mysql", "redshift", "redshift+psycopg2", "cockroachdb", "sqlite", "postgresqlx", "postgress"])
    func otherDatabases(scheme: String) {
        #expect(throws: PostgresAddressError.self) { try PostgresAddress("\(scheme)://h/d") }
    }

    @Test(arguments: [
        "", "secret", "'postgresql://me:secret@h/d'", "mysql://me:secret@h/d", "postgresql://me:sec%zzret@h/d",
        "password='secret",
        "postgresql://me:x@secret@h/d", "postgresql://me:x/secret@h/d", "postgresql://me:x?secret@h/d",
        "postgresql://h/d?password=x&secret",
        "postgresql://h:65536/d", "postgresql://h:five/d", "postgresql://h/d?sslmode=perhaps",
    ])
    func refusedWithoutASecret(text: String) {
        let error = #expect(throws: PostgresAddressError.self) { try PostgresAddress(text) }
        #expect(error?.description.contains("secret") == false)
    }
}
