import Testing

@testable import Postgres

@Suite struct PostgresAddressTests {
    @Test(arguments: [
        "postgresql://me:secret@h:5433/d", "postgres://me:secret@h:5433/d", "postgresql+psycopg2://me:secret@h:5433/d",
        "postgresql+asyncpg://me:secret@h:5433/d", "db+postgresql://me:secret@h:5433/d",
        "db+postgresql+psycopg://me:secret@h:5433/d", "host=h port=5433 dbname=d user=me password=secret",
        "postgresql://me:secret@h:5433/d?conn_max_age=600&pool_size=5",
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
        #expect(address.ignoredParameters == ["conn_max_age", "pool"])
        #expect(address.parameters["sslmode"] == "require")
        #expect(try PostgresAddress("postgresql+asyncpg://h/d?ssl=true").parameters["sslmode"] == "require")
        #expect(try PostgresAddress("postgresql+asyncpg://h/d?ssl=verify-full").parameters["sslmode"] == "verify-full")
    }

    @Test(arguments: [
        "", "secret", "mysql://me:secret@h/d", "postgresql://me:sec%zzret@h/d", "password='secret",
        "postgresql://me:x@secret@h/d", "postgresql://me:x/secret@h/d", "postgresql://me:x?secret@h/d",
        "postgresql://h/d?password=x&secret",
        "postgresql://h:65536/d", "postgresql://h:five/d", "postgresql://h/d?sslmode=perhaps",
    ])
    func refusedWithoutASecret(text: String) {
        let error = #expect(throws: PostgresAddressError.self) { try PostgresAddress(text) }
        #expect(error?.description.contains("secret") == false)
    }
}
