import Foundation
import YAML

@testable import Configuration
@testable import HTTP
@testable import Passwords
@testable import Postgres
@testable import Redis
@testable import celery_beat_exporter

/// What people write: addresses, and the files.
let configurationTargets = [
    FuzzTarget(
        "redis-url",
        [
            "redis://user:\(secret)@host:6379/0", "rediss://:\(secret)@[::1]:6380/1?ssl_cert_reqs=none",
            "unix://:\(secret)@/var/run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=2",
            "sentinel://:\(secret)@one:26379;sentinel://:\(secret)@two:26379/0",
            "redis://:\(secret)@a:6380/1;rediss://:\(secret)@b;c",
            "redis-sentinel://one,two:26379/shop/1", "redis-cluster://u:\(secret)@a:6379,b:6379",
        ]
    ) { bytes in
        do {
            let address = try RedisAddress(url: String(decoding: bytes, as: UTF8.self))
            return (0..<65_536).contains(address.database) ? nil : "database \(address.database)"
        } catch {
            return problem(ofRefusal: "\(error)")
        }
    },
    FuzzTarget(
        "postgres-url",
        [
            "postgresql://user:\(secret)@host:5432/database?sslmode=require&conn_max_age=60",
            "db+postgresql+psycopg2://user:\(secret)@[::1]/database",
            "host=h port=1 user=u password='\(secret)' dbname=d",
            "postgres://u:\(secret)@a:1,b:2/d?target_session_attrs=any",
            "postgis://u:\(secret)@//cloudsql/a:b:c/d?currentSchema=s",
            "psql://u:\(secret)@%2Frun:5433/d?host=a:1&host=b",
        ]
    ) { bytes in
        do {
            _ = try PostgresAddress(String(decoding: bytes, as: UTF8.self)).redacted
            return nil
        } catch {
            return problem(ofRefusal: "\(error)")
        }
    },
    FuzzTarget("listen-address", ["127.0.0.1:9808", "[::1]:9808", ":0", "host:65535"]) { bytes in
        guard let address = ListenAddress(String(decoding: bytes, as: UTF8.self)) else { return nil }
        return ListenAddress(address.description) == address ? nil : "\(address) is not read as it is shown"
    },
    FuzzTarget("password-hash", ["$2y$10$\(String(repeating: "a", count: 53))"]) { bytes in
        guard let hash = PasswordHash(String(decoding: bytes, as: UTF8.self)) else { return nil }
        return hash.text.utf8.count == 60 ? nil : "a hash of \(hash.text.utf8.count) bytes"
    },
    FuzzTarget("yaml", configurations + webConfigurations) { bytes in
        do throws(YAMLError) {
            guard let node = try YAMLNode.parse(bytes) else { return nil }
            return depth(of: node) <= 16 ? nil : "nested too deeply"
        } catch {
            return error.line > 0 && isPlainLine(error.problem) ? nil : "\(error)"
        }
    },
    FuzzTarget("configuration", configurations) { bytes in
        whenWritten(bytes) { path in
            do {
                let configuration = try Configuration(
                    flags: [:],
                    environment: ["CELERY_BEAT_EXPORTER_CONFIG_FILE": path]
                )
                return configuration.target.warnings.first { !isPlainLine($0) }
            } catch {
                return isPlainLine("\(error)") ? nil : "the refusal is no plain line: \(error)"
            }
        }
    },
    FuzzTarget("web-configuration", webConfigurations) { bytes in
        whenWritten(bytes) { path in
            do {
                _ = try WebConfigurationFile(path: path)
                return nil
            } catch {
                return isPlainLine("\(error)") ? nil : "the refusal is no plain line: \(error)"
            }
        }
    },
    FuzzTarget(
        "arguments",
        [
            "--broker.url=redis://h\(separator)--beat.grace\(separator)5s",
            "--no-queues.discover\(separator)--queues=a,b", "--help",
        ]
    ) { bytes in
        // They name no file.
        let arguments = texts(bytes, 4).filter { !$0.contains("file") }
        guard case .refuse(let line) = Invocation(arguments: arguments, environment: [:]) else { return nil }
        return isPlainLine(line) ? nil : "the refusal is no plain line: \(line)"
    },
]

private let secret = "s3cr3t"

/// What a refusal may not be: several lines, or part of what was refused.
private func problem(ofRefusal text: String) -> String? {
    isPlainLine(text) && !text.contains(secret) ? nil : "the refusal reads: \(text)"
}

private func depth(of node: YAMLNode) -> Int {
    let nodes = node.sequence ?? node.mapping?.map(\.value) ?? []
    return 1 + (nodes.map { depth(of: $0) }.max() ?? 0)
}

/// Hands the path of a file with those bytes to `body`. Other files are looked for in the same folder.
private func whenWritten(_ bytes: [UInt8], _ body: (String) -> String?) -> String? {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fuzz-\(getpid())")
    defer { try? FileManager.default.removeItem(at: folder) }
    do {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appendingPathComponent("file.yml")
        try Data(bytes).write(to: file)
        return body(file.path)
    } catch {
        return "\(error)"
    }
}

private let configurations = [
    """
    broker.url: redis://user:\(secret)@host:6379/0
    beat: {grace: 3s, scheduler: [redbeat, django], max-loop-interval: 1m}
    database.url: "postgresql://user:\(secret)@host/database"
    queues: [mail, orders]
    queues.priority-steps: 0,3,6,9
    tasks.duration-buckets: 0.1,1,10
    tasks.windows: [5m, 1h]
    tasks.include: shop.*
    web.listen-address: ["127.0.0.1:9808", ":9809"]
    log.format: json
    """,
    """
    database.url: postgresql://h/d
    schedule:
      - task: shop.orders.import_orders
        interval: 10s
      - entry: nightly
        task: shop.reports.close_day
        crontab: 30 4 * * 1-5
        zone: Europe/Paris
        tolerance: 15m
    tables:
      - table: jobs."Runs"
        id: run_id
        task: name
        status: state
        completed: finished_at
        states: {done: SUCCESS, broken: FAILURE}
      - table: celery_taskmeta
        zone: Europe/Paris
    """,
    """
    beat.grace: 5s
    collect.interval: 1s
    targets:
      shop: {broker.url: "redis://:\(secret)@h", beat.max-loop-interval: 1m, redbeat.lock-key: none}
      bank:
        database.url: "postgresql://h/d"
        tasks.exclude: ["*.internal"]
    """,
]

private let webConfigurations = [
    """
    tls_server_config:
      cert_file: server.crt
      key_file: server.key
      client_auth_type: RequireAndVerifyClientCert
      client_ca_file: ca.crt
      min_version: TLS12
      cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
    """,
    """
    http_server_config:
      http2: true
      headers:
        X-Frame-Options: deny
        Strict-Transport-Security: max-age=31536000
    basic_auth_users:
      alice: $2y$10$\(String(repeating: "a", count: 53))
      bob: $2y$16$\(String(repeating: "b", count: 53))
    """,
]
