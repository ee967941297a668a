internal import Celery
internal import Redis
internal import TLS

// Where the broker and RedBeat's Redis are, and how to log in to them.

extension Target {
    mutating func readRedis(_ settings: Settings) throws(ConfigurationError) {
        let sentinels = try SentinelSettings(settings)
        let tls = try TLSSettings(settings)
        let allowedNodes = try Self.allowedNodes(settings.read(Setting.allowedNodes))
        func address(_ setting: Settings.Found?, master: Settings.Found?) throws(ConfigurationError) -> RedisAddress? {
            guard let setting else { return nil }
            var members: [RedisAddress] = []
            for member in try Self.address(setting).each {
                var address = try sentinels.applied(to: member, master: master, of: setting)
                address.allowedNodes = allowedNodes
                members.append(try tls.applied(to: address, setting))
            }
            var address = members.removeFirst()
            address.alternates = members
            return address
        }

        let brokerURL = try settings.read(Setting.brokerURL)
        let brokerSetting = leavingOut(brokerURL) { value in
            ["redis", "unix", "sentinel"].contains { value.lowercased().hasPrefix($0) }
        }
        let brokerMaster = try settings.read(Setting.brokerSentinelMaster)
        let brokerAddress = try address(brokerSetting, master: brokerMaster)
        if let brokerSetting, case .cluster = brokerAddress?.servers {
            throw ConfigurationError(
                brokerSetting,
                "Celery has no broker in a Redis Cluster; give RedBeat's cluster by --redbeat.url"
            )
        }
        broker = brokerAddress.map { .redis($0) }
        let redBeatURL = try settings.read(Setting.redBeatURL)
        let redBeatMaster = try settings.read(Setting.redBeatSentinelMaster)
        redBeatAddress = try address(redBeatURL, master: redBeatMaster ?? brokerMaster) ?? brokerAddress
        if let list = redBeatAddress, !list.alternates.isEmpty {
            // redis-py takes the others for a part of the first one's path, which is then no number, and so 0.
            redBeatAddress = list.each[0]
            redBeatAddress?.database = 0
            if let redBeatURL {
                warnings.append(
                    "\(redBeatURL.origin): RedBeat knows no lists of servers; of this one it takes the first, and there "
                        + "database 0"
                )
            }
        }
        redBeat.isExpected = redBeatURL != nil

        var addresses = brokerAddress?.each ?? []
        if let redBeatAddress, !addresses.contains(redBeatAddress) { addresses.append(redBeatAddress) }
        for address in addresses {
            if address.passwordFollowsServers {
                let leaders = if case .cluster = address.servers { "the cluster's nodes" } else { "the sentinels" }
                warnings.append(
                    "\(address.redacted): the password goes in clear to whatever address \(leaders) name; write "
                        + "?ssl_cert_reqs=required for TLS, or name the addresses by --redis.allowed-nodes"
                )
            }
            if address.tls?.verification == TLSClientConfiguration.Verification.none {
                warnings.append("\(address.redacted): any certificate is taken, so others may read along")
            } else if let unused = tls.first, address.tls == nil, !address.servers.isSocket {
                warnings.append(
                    "\(address.redacted): goes without TLS although \(unused.origin) is given; write rediss:// or "
                        + "?ssl_cert_reqs=required"
                )
            }
        }
    }

    private static func allowedNodes(_ setting: Settings.Found?) throws(ConfigurationError) -> AllowedNodes? {
        guard let setting else { return nil }
        guard let nodes = AllowedNodes(setting.value) else {
            throw ConfigurationError(
                setting,
                "write hosts and networks, as in redis-1.internal,*.redis.internal:6379,10.0.0.0/8,[2001:db8::/32]:6379"
            )
        }
        return nodes
    }

    private static func address(_ setting: Settings.Found) throws(ConfigurationError) -> RedisAddress {
        do {
            return try RedisAddress(url: setting.value)
        } catch {
            throw ConfigurationError(setting, error.description)
        }
    }
}

/// What holds for all sentinels.
private struct SentinelSettings {
    let user: Settings.Found?
    let password: Settings.Found?
    let usesTLS: Bool?

    /// The name that RedBeat takes where none is configured. Source: redbeat/schedulers.py, `get_redis`.
    private static let redBeatMaster = "master"

    init(_ settings: Settings) throws(ConfigurationError) {
        user = try settings.read(Setting.sentinelUser)
        password = try settings.read(Setting.sentinelPassword)
        usesTLS = try settings.read(Setting.sentinelTLS)
    }

    func applied(
        to address: RedisAddress,
        master: Settings.Found?,
        of setting: Settings.Found
    ) throws(ConfigurationError) -> RedisAddress {
        guard case .sentinels(var sentinels) = address.servers else { return address }
        let isRedBeats = setting.value.lowercased().hasPrefix("redis-sentinel")
        guard let name = master?.value ?? (isRedBeats ? Self.redBeatMaster : nil) else {
            throw ConfigurationError(
                setting,
                "which master do the sentinels watch? Give master_name of broker_transport_options by "
                    + "--broker.sentinel-master"
            )
        }
        sentinels.master = name
        sentinels.user = user?.value
        sentinels.password = password?.value
        sentinels.usesTLS = usesTLS
        var address = address
        address.servers = .sentinels(sentinels)
        return address
    }
}

/// What holds for all servers with TLS, before what their URLs say.
private struct TLSSettings {
    let caFile: Settings.Found?
    let certificateFile: Settings.Found?
    let keyFile: Settings.Found?
    let serverName: Settings.Found?
    let skipsVerification: Bool?

    init(_ settings: Settings) throws(ConfigurationError) {
        caFile = try settings.read(Setting.redisCAFile)
        certificateFile = try settings.read(Setting.redisCertificateFile)
        keyFile = try settings.read(Setting.redisKeyFile)
        serverName = try settings.read(Setting.redisServerName)
        skipsVerification = try settings.read(Setting.redisSkipsVerification)
    }

    /// A setting that has a meaning only with TLS.
    var first: Settings.Found? { caFile ?? certificateFile ?? keyFile ?? serverName }

    func applied(to address: RedisAddress, _ setting: Settings.Found) throws(ConfigurationError) -> RedisAddress {
        guard var tls = address.tls else { return address }
        if let caFile {
            tls.caFile = caFile.value
            tls.caFolder = nil
        }
        if let certificateFile {
            tls.certificateFile = certificateFile.value
            tls.keyFile = nil
        }
        if let keyFile { tls.keyFile = keyFile.value }
        if let serverName { tls.serverName = serverName.value }
        if let skipsVerification {
            tls.verification = skipsVerification ? .none : tls.verification == .none ? .full : tls.verification
        }
        if tls.keyFile != nil, tls.certificateFile == nil {
            throw ConfigurationError(keyFile ?? setting, "a key needs its certificate; give --redis.tls-cert-file")
        }
        do {
            try tls.check()
        } catch {
            let origin = [caFile, certificateFile, keyFile].compactMap(\.self).first { $0.value == error.path }
            throw ConfigurationError(origin ?? setting, error.description)
        }
        var address = address
        address.tls = tls
        return address
    }
}
