package import Redis

/// Where Celery's messages wait for workers.
package enum Broker: Equatable, Sendable {
    case redis(RedisAddress)

    /// Its address, where it is a Redis.
    package var redis: RedisAddress? {
        switch self {
        case .redis(let address): address
        }
    }
}
