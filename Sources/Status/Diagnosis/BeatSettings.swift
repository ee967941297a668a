/// How an application's beats are looked for, as far as the words about them name it. It holds no secret.
package struct BeatSettings: Equatable, Sendable {
    /// RedBeat's prefix of all keys.
    package var keyPrefix = "redbeat:"
    /// The key of RedBeat's lock; nil where it uses none.
    package var lockKey: String? = "redbeat::lock"
    /// Whether the lock's timeout was set, and is not learnt.
    package var isLockTimeoutSet = false
    /// The number of RedBeat's database; nil where there is no Redis.
    package var database: Int?
    /// Whether RedBeat keeps its schedule in the broker's database.
    package var isInBroker = false
    /// redis-cli for RedBeat's Redis.
    package var redisCommand = "redis-cli -u REDBEAT_URL"
    /// The nodes that are pinged.
    package var pingPattern: String?

    package init() {}
}
