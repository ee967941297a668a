// swift-tools-version: 6.2
import PackageDescription

// What each target is for, and who stands on whom: CONTRIBUTING.md, "The house".

/// Every target of ours is held to the same rules: Swift 6, no implicit imports, warnings are errors.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
    // So that the linker can place each function by itself.
    .unsafeFlags(["-Xfrontend", "-function-sections"], .when(configuration: .release)),
]

/// Places the functions that run side by side: those that do not run then take no memory. See `make symbol-order`.
let orderedCode: LinkerSetting = .unsafeFlags(
    [
        "-use-ld=lld",
        "-Xlinker", "--symbol-ordering-file=\(Context.packageDirectory)/Sources/celery-beat-exporter/symbol-order",
        // The list may name functions that are no longer there.
        "-Xlinker", "--no-warn-symbol-ordering",
        // Nobody links to the program.
        "-Xlinker", "--no-export-dynamic",
    ],
    .when(configuration: .release)
)

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "celery-beat-exporter",
    products: [
        .executable(name: "celery-beat-exporter", targets: ["celery-beat-exporter"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2")
    ],
    targets: [
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CExecInfo"),
        .systemLibrary(name: "CGnuTLS", providers: [.apt(["libgnutls28-dev"])]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CLibPQ", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CMicroHTTPD", providers: [.apt(["libmicrohttpd-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),

        .target(name: "CArguments"),

        .target(name: "Redis", dependencies: ["CHiredis", "TLS", "System"], swiftSettings: strict),
        .target(name: "Postgres", dependencies: ["CLibPQ", "System"], swiftSettings: strict),
        .target(name: "HTTP", dependencies: ["CMicroHTTPD", "TLS", "Passwords", "System"], swiftSettings: strict),
        .target(name: "Passwords", dependencies: ["CCrypt", "TLS", "System"], swiftSettings: strict),
        .target(name: "TLS", dependencies: ["CGnuTLS", "System"], swiftSettings: strict),
        .target(name: "System", swiftSettings: strict),
        .target(name: "Compression", dependencies: ["CZlib"], swiftSettings: strict),
        .target(name: "YAML", dependencies: ["CYAML"], swiftSettings: strict),
        .target(name: "Exposition", dependencies: ["System"], swiftSettings: strict),
        .target(name: "JSON", swiftSettings: strict),
        .target(name: "TimeZones", dependencies: ["System"], swiftSettings: strict),
        .target(name: "Reading", dependencies: ["System"], swiftSettings: strict),
        .target(
            name: "Celery",
            dependencies: ["Reading", "Redis", "Postgres", "JSON", "TimeZones", "System"],
            swiftSettings: strict
        ),
        .target(
            name: "Collection",
            dependencies: ["Celery", "Reading", "System", logging],
            swiftSettings: strict
        ),
        .target(
            name: "Metrics",
            dependencies: ["Celery", "Collection", "Reading", "Exposition"],
            swiftSettings: strict
        ),
        .target(
            name: "Status",
            dependencies: ["Celery", "Collection", "Reading", "JSON", "System"],
            resources: [.embedInCode("Page/page.css"), .embedInCode("Page/page.js")],
            swiftSettings: strict
        ),
        .target(
            name: "Configuration",
            dependencies: [
                "Metrics", "Collection", "Celery", "Redis", "Postgres", "HTTP", "TLS", "Passwords", "YAML", "TimeZones",
                "System", logging,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Watching",
            dependencies: [
                "Configuration", "Status", "Collection", "Celery", "Reading", "Redis", "Postgres", "System", logging,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Serving",
            dependencies: [
                "Watching", "Configuration", "Status", "Metrics", "Collection", "HTTP", "Compression", "Exposition",
                "System", logging,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Check",
            dependencies: [
                "Watching", "Configuration", "Status", "Collection", "Celery", "Reading", "Redis", "Postgres", "JSON",
                "System",
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "celery-beat-exporter",
            dependencies: [
                "Serving", "Check", "Watching", "Configuration", "HTTP", "Passwords", "JSON", "System", "CArguments",
                "CExecInfo",
                logging,
            ],
            exclude: ["symbol-order"],
            swiftSettings: strict,
            linkerSettings: [orderedCode]
        ),

        .target(name: "LyingRedis", path: "Tests/LyingRedis"),
        .testTarget(name: "SystemTests", dependencies: ["System"], swiftSettings: strict),
        .testTarget(name: "ExpositionTests", dependencies: ["Exposition"], swiftSettings: strict),
        .testTarget(
            name: "RedisTests",
            dependencies: ["Redis", "TLS", "LyingRedis"],
            exclude: ["kombu_lists_oracle.py"],
            swiftSettings: strict
        ),
        .testTarget(name: "PostgresTests", dependencies: ["Postgres"], swiftSettings: strict),
        .testTarget(name: "HTTPTests", dependencies: ["HTTP", "System"], swiftSettings: strict),
        .testTarget(name: "PasswordsTests", dependencies: ["Passwords", "TLS", "System"], swiftSettings: strict),
        .testTarget(name: "TLSTests", dependencies: ["TLS"], swiftSettings: strict),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: strict),
        .testTarget(name: "TimeZonesTests", dependencies: ["TimeZones"], swiftSettings: strict),
        .testTarget(name: "YAMLTests", dependencies: ["YAML"], swiftSettings: strict),
        .testTarget(
            name: "CeleryTests",
            dependencies: ["Celery", "Reading", "Redis", "JSON", "TimeZones", "System", "LyingRedis"],
            exclude: ["crontab_oracle.py"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "CollectionTests",
            dependencies: ["Celery", "Collection", "Reading", "System", logging],
            swiftSettings: strict
        ),
        .testTarget(
            name: "StatusTests",
            dependencies: ["Status", "Celery", "Collection", "Reading"],
            exclude: ["expected"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "MetricsTests",
            dependencies: ["Metrics", "Collection", "Celery", "Reading", "Exposition"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "ConfigurationTests",
            dependencies: [
                "Configuration", "Collection", "Celery", "Redis", "Postgres", "HTTP", "TLS", "Passwords", "TimeZones",
                logging,
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "celery-beat-exporter", "Serving", "Configuration", "Celery", "Metrics", "Collection", "Reading",
                "Status", "Redis", "Postgres", "HTTP", "Passwords", "YAML", "Exposition", "JSON", "TimeZones", "System",
                "LyingRedis", logging,
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "WatchingTests",
            dependencies: ["Watching", "Collection", "Celery", "Reading", "Redis"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "ServingTests",
            dependencies: ["Serving", "Exposition", "Compression", "HTTP"],
            swiftSettings: strict
        ),
        .testTarget(
            name: "CheckTests",
            dependencies: [
                "Check", "Watching", "Status", "Configuration", "Collection", "Celery", "Reading", "Redis",
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "ExporterTests",
            dependencies: ["celery-beat-exporter", "Configuration", "HTTP", "Redis", logging],
            swiftSettings: strict
        ),
    ]
)
