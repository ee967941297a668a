package import Redis

extension RedisAddress {
    /// redis-cli for this Redis, without the password, which it asks for.
    ///
    /// - Parameter placeholder: what stands for a server that has to be looked up first.
    package func commandLine(orFor placeholder: String) -> String {
        let user = user.map { "--user \($0) " } ?? ""
        let login = password == nil ? "" : "\(user)--askpass "
        return switch servers {
        case .single(.tcp): "redis-cli \(login)-u \(redacted)"
        case .single(.unix(let path)): "redis-cli \(login)-s \(path) -n \(database)"
        case .cluster(let nodes):
            "redis-cli -c \(login)\(nodes.first.map { "-u redis://\($0.text)" } ?? "-u \(placeholder)")"
        case .sentinels: "redis-cli \(login)-u \(placeholder)"
        }
    }
}
