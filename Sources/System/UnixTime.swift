internal import Glibc

/// The system's clock, which somebody may set.
package enum UnixTime {
    /// Seconds since 1970, UTC.
    package static var now: Double {
        let time = time
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Whole milliseconds since 1970.
    package static var milliseconds: Int {
        let time = time
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }

    private static var time: timespec {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time
    }
}
